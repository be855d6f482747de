//! What a take comes to, shown on the panel before it is made. Costs a look at the
//! store at most: nothing is read of the plate, and a machine that was never measured is
//! measured in the background.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::actions::{format, pixel_aspect};
use super::host::{Host, Scene};
use super::known::known;
use super::make::job_of;
use super::order::Order;
use super::pixels::Components;
use super::prepare::Plate;
use super::shelf::Shelf;
use crate::engine::AnyEngine;
use crate::frame::{PlateInfo, Transfer};
use crate::sequence::Names;
use crate::sequence::estimate::{
    BLOCK, Estimate, Known, Machine, Output, RESULTS, Scope, threads_here,
};
use crate::store::Vault as _;

/// Whether this process has measured its machine, or is about it, with each engine.
static MEASURED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// What `order` comes to, in a sentence; nothing where the host does not say how large
/// the plate is.
pub(super) fn sentence(scene: &Scene, order: &Order, host: &mut dyn Host) -> Option<String> {
    let plate = plate(scene, order, host)?;
    let (setup, threads) = (&order.setup, threads_here());
    let shelf = known().shelves.get(setup);
    let scope = Scope {
        engine: &setup.engine,
        timeline: &order.timeline,
        plate: &plate,
        movie: order.file.as_ref().is_some_and(|f| f.movie),
        memory: setup.memory,
        block: BLOCK,
        threads,
    };
    let machine = Machine::known(&*shelf, &setup.engine, threads);
    let frames: Vec<i32> = order.timeline.out.iter().collect();
    let output = Output {
        frames: &frames,
        reduce: 1,
        written: false,
    };
    let time = machine.as_ref().and_then(|machine| {
        // How long a host takes to hand frames over only the host knows.
        let reading = match order.file {
            Some(_) => scope.reading(machine),
            None => 0.0,
        };
        scope.time(machine, found(order, &shelf), &output, reading)
    });
    let mut needs = scope.needs(threads);
    if matches!(setup.engine, AnyEngine::Plate(_)) {
        // A host's process keeps what goes to the store in memory too.
        let results = needs.store.min(RESULTS);
        needs.memory = needs.memory.map(|bytes| bytes + results);
    }
    let told = Estimate {
        blocks: scope.blocks(),
        time,
        threads,
        needs,
    };
    let later = match machine {
        None if measure(&setup.engine, shelf, threads) => {
            " The machine is being measured for some seconds: the next change tells the time."
        }
        _ => "",
    };
    Some(format!("Estimate: {told}.{later}"))
}

/// The plate, as far as it is known without a picture.
fn plate(scene: &Scene, order: &Order, host: &mut dyn Host) -> Option<PlateInfo> {
    if let Some(file) = &order.file {
        return Some(file.info.clone());
    }
    let [x1, y1, x2, y2] = format(scene, order, host)?;
    let pixel_aspect = pixel_aspect(scene);
    let side = |length: f64| (length.round() as usize).max(1);
    let (width, height) = (side((x2 - x1) / pixel_aspect), side(y2 - y1));
    let components = scene.source.components.unwrap_or(Components::Rgba);
    Some(PlateInfo {
        range: order.request.plate,
        width,
        height,
        full_size: (width, height),
        channels: components.names().iter().map(|&n| n.to_owned()).collect(),
        fps: order.request.fps,
        transfer: Transfer::Linear,
        pixel_aspect,
        ids: Vec::new(),
    })
}

/// What of the take is known already: of a plate on Source, what a render has shown.
fn found(order: &Order, shelf: &Arc<Shelf>) -> Known {
    match &order.file {
        Some(file) => {
            let facts = job_of(order, Plate::File(Arc::clone(file))).facts();
            let names = Names::of(&order.setup.engine, &facts, &order.timeline);
            Known {
                analysis: shelf.has(&names.analysis),
                take: shelf.has(&names.take),
            }
        }
        None => {
            let name = known().order(&order.about());
            let ready = name.is_some_and(|name| !known().takes(&name).is_empty());
            Known {
                analysis: ready,
                take: ready,
            }
        }
    }
}

/// Has the machine measured in the background, once in this process; whether that is
/// under way or was tried.
fn measure(engine: &AnyEngine, shelf: Arc<Shelf>, threads: usize) -> bool {
    let which = usize::from(matches!(engine, AnyEngine::Wan(_)));
    if MEASURED[which].swap(true, Ordering::Relaxed) {
        return true;
    }
    let engine = engine.clone();
    let work = move || {
        // Without a measure there is no time to tell, and nothing else is lost.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            Machine::kept(&*shelf, &engine, threads)
        }));
    };
    let thread = std::thread::Builder::new().name("longtake".to_owned());
    thread.spawn(work).is_ok()
}
