//! Made frames of a plate on Source: a window of one, by a take of the plate.

use std::sync::Arc;

use super::errand::{Errand, Failure};
use super::host::{Host, Scene};
use super::known::{Prepared, known};
use super::order::Order;
use super::pixels::{Image, Rect};
use super::plate::{Check, HostPlate, HostReader, Watch};
use super::prepare::{Job, Plate, prepare};
use super::record::Record;
use super::render::RenderArgs;
use crate::engine::Sources;
use crate::frame::{Picture, PlateReader};

/// How often a plate may turn out to be another than was thought within one
/// render, before that is said.
const TRIES: usize = 3;

/// What `order` asks for, of the plate `plate`.
pub(super) fn job_of(order: &Order, plate: Plate) -> Job {
    Job {
        plate,
        timeline: order.timeline.clone(),
        engine: order.setup.engine.clone(),
        shelf: known().shelves.get(&order.setup),
        memory: order.memory(),
    }
}

/// Makes frame `frame` of a plate on Source; what is returned is advice.
pub(super) fn from_host(
    scene: &Scene,
    order: &Order,
    frame: i32,
    args: &RenderArgs,
    output: &mut Image<'_>,
    host: &mut dyn Host,
) -> Result<Option<String>, Failure> {
    let mut rejected: Vec<Arc<Record>> = Vec::new();
    for attempt in 0..TRIES {
        let plate = HostPlate::look(scene, order, args.scale, host, attempt > 0)?;
        let job = job_of(order, Plate::Host(plate.clone()));
        let (name, facts) = (job.order(), job.facts());
        known().ordered(order.about(), name);
        if attempt > 0 {
            prepare(&job, &rejected, host)?;
        }
        let mut takes = known().takes(&name);
        takes.retain(|t| {
            let record = t.record.as_ref();
            record.is_some_and(|r| {
                r.serves(&plate.info) && !rejected.iter().any(|n| Arc::ptr_eq(n, r))
            })
        });
        if takes.is_empty() {
            takes.push(prepare(&job, &rejected, host)?);
        }
        let by_look = known().is_unsteady(&facts);
        for prepared in &takes {
            let made = gather(&plate, prepared, frame, &args.window, by_look, host)?;
            let made = match made {
                // The plate was learned a moment ago, and already its samples
                // are others: a host that computes it anew each time.
                None if attempt > 0 && !by_look => {
                    let made = gather(&plate, prepared, frame, &args.window, true, host)?;
                    if made.is_some() {
                        known().set_unsteady(&facts);
                    }
                    made
                }
                other => other,
            };
            if let Some((picture, warning)) = made {
                known().keep(&name, prepared);
                output.write(&args.window, &plate.canvas, &picture, plate.names);
                return Ok(warning);
            }
            rejected.extend(prepared.record.clone());
        }
    }
    Err(Failure::Message(
        "Source gives another picture each time a frame is asked for: write the plate to files and set Plate file"
            .to_owned(),
    ))
}

/// A picture, and what the artist should know of the plate frames in it.
type Made = (Arc<Picture>, Option<String>);

/// The part `window` of `frame` by a take; `None` where the take turns out to
/// be of another plate.
fn gather(
    plate: &HostPlate,
    prepared: &Arc<Prepared>,
    frame: i32,
    window: &Rect,
    by_look: bool,
    host: &mut dyn Host,
) -> Result<Option<Made>, Failure> {
    let part = plate.canvas.intersection(window);
    if part.is_empty() {
        let nothing = Picture::new(0, 0, plate.names.len());
        return Ok(Some((Arc::new(nothing), None)));
    }
    let part = plate.canvas.window(&part);
    let (prepared, plate) = (Arc::clone(prepared), plate.clone());
    let errand = Errand::send(move |desk| {
        let Some(record) = &prepared.record else {
            return Ok(None);
        };
        let check = Check::new(record, by_look);
        let mut source = HostReader::source(desk, &plate, Watch::Check(&check));
        let mut matte = HostReader::matte(desk, &plate, Watch::Check(&check));
        let mut guide = HostReader::guide(desk, &plate, Watch::Check(&check));
        let mut sources = Sources {
            plate: &mut source,
            matte: plate.matte.then_some(&mut matte as _),
            guide: plate.guide.then_some(&mut guide as _),
            subjects: Default::default(),
        };
        match prepared.take.make(frame, part, &mut sources, desk.task()) {
            Ok(picture) => {
                let warning = source.take_warnings().into_iter().next();
                Ok(Some((picture, warning.map(|w| w.to_string()))))
            }
            Err(_) if check.failed() => Ok(None),
            Err(error) => Err(error.into()),
        }
    });
    errand.join(host.instance());
    errand.attend(host, true)
}
