//! The panel: its buttons and its status line.

use std::sync::Arc;

use super::Node;
use super::errand::{Errand, Failure};
use super::estimate;
use super::host::{Host, Scene};
use super::known::{Prepared, known};
use super::make::job_of;
use super::order::{ONE_FRAME, Order};
use super::plate::HostPlate;
use super::prepare::{Job, Plate, prepare};
use super::render::{Report, Status};
use super::shelf::trouble;
use crate::engine::plate::{Use, suitability};
use crate::manifest::manifest;
use crate::sequence::{Mode, Take};

/// What an artist or the host changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// An input, or something before it.
    Clip,
    /// The parameter of this name; a button was pressed.
    Param(&'a str),
}

impl Node {
    /// Something was changed, or a button was pressed. `scale` is the render
    /// scale that pictures come at. Pictures may be fetched only where the
    /// artist is at work, so buttons do nothing otherwise.
    pub fn changed(
        &self,
        scene: &Scene,
        what: Change<'_>,
        by_user: bool,
        scale: [f64; 2],
        host: &mut dyn Host,
    ) -> Report {
        self.tell_again();
        let order = Order::of(scene);
        let (status, message) = match (what, &order) {
            (Change::Param("generate"), Ok(order)) if by_user => {
                match generate(scene, order, scale, host) {
                    Ok(text) => (text, String::new()),
                    Err(Failure::Stopped) => (
                        "Stopped. What was finished is kept.".to_owned(),
                        String::new(),
                    ),
                    Err(Failure::Message(m)) => (sentence(&m), m),
                    Err(Failure::Device(e)) => (sentence(&e.to_string()), e.to_string()),
                }
            }
            (Change::Param("clear"), Ok(order)) if by_user => {
                clear(scene, order, scale, host);
                (
                    "Cleared. The next render studies the plate anew.".to_owned(),
                    String::new(),
                )
            }
            (Change::Param("clear"), Err(_)) if by_user => {
                known().clear();
                ("Cleared.".to_owned(), String::new())
            }
            (Change::Param("generate"), Err(m)) if by_user => (sentence(m), m.clone()),
            (what, order) => {
                if what == Change::Clip {
                    known().look_again();
                }
                let mut text = outlook(order.as_ref());
                if let Ok(order) = order
                    && made(order) > 0
                    && let Some(costs) = estimate::sentence(scene, order, host)
                {
                    text = format!("{text} {costs}");
                }
                (text, String::new())
            }
        };
        host.show("status", &status);
        if let Ok(order) = &order {
            grey(order, host);
        }
        Report {
            status: Status::Done,
            message,
            warning: false,
            told: false,
        }
    }
}

/// Greys out what the mode and the engine do not use.
fn grey(order: &Order, host: &mut dyn Host) {
    let Ok(manifest) = manifest() else { return };
    let (mode, engine) = (order.request.mode.name(), order.setup.engine.name());
    let has = |list: &[String], word: &str| list.is_empty() || list.iter().any(|w| w == word);
    for param in &manifest.params {
        if !(param.modes.is_empty() && param.engines.is_empty()) {
            let used = has(&param.modes, mode) && has(&param.engines, engine);
            host.enable(&param.name, used);
        }
    }
}

/// Gets the take ready; the text says how the plate lends itself.
fn generate(
    scene: &Scene,
    order: &Order,
    scale: [f64; 2],
    host: &mut dyn Host,
) -> Result<String, Failure> {
    if made(order) == 0 {
        return Ok(outlook(Ok(order)));
    }
    let job = job(scene, order, scale, host)?;
    let prepared = prepare(&job, &[], host)?;
    known().ordered(order.about(), job.order());
    let judged = lends_itself(prepared, order, host)?;
    let mut text = format!("{} {judged}", outlook(Ok(order)));
    if let Some(trouble) = trouble(&job.shelf) {
        text = format!("{text} {}", sentence(&trouble));
    }
    Ok(text)
}

fn job(scene: &Scene, order: &Order, scale: [f64; 2], host: &mut dyn Host) -> Result<Job, Failure> {
    let plate = match &order.file {
        Some(file) => Plate::File(Arc::clone(file)),
        None if !scene.temporal_access => return Err(Failure::Message(ONE_FRAME.to_owned())),
        None => Plate::Host(HostPlate::look(scene, order, scale, host, false)?),
    };
    Ok(job_of(order, plate))
}

/// Forgets what is kept of the plate, in memory and in the store.
fn clear(scene: &Scene, order: &Order, scale: [f64; 2], host: &mut dyn Host) {
    if let Ok(job) = job(scene, order, scale, host) {
        let facts = job.facts();
        let takes = known().takes(&job.order());
        let records = known().records(&facts, &job.shelf);
        for prepared in &takes {
            prepared.take.forget(&*job.shelf);
        }
        if matches!(job.plate, Plate::Host(_)) {
            for record in &records {
                let key = record.key(&facts);
                Take::forget_plate(&job.engine, &key, &job.timeline, &*job.shelf);
            }
            known().forget(&facts, &job.shelf);
        }
    }
    known().clear();
}

/// How many frames are to be made.
fn made(order: &Order) -> usize {
    let out = order.request.out;
    out.iter()
        .filter(|f| order.timeline.kept(*f).is_none())
        .count()
}

/// What the parameters come to, before anything is studied.
fn outlook(order: Result<&Order, &String>) -> String {
    match order {
        Err(message) => sentence(message),
        Ok(order) => {
            let (r, made) = (&order.request, made(order));
            if made == 0 {
                return format!(
                    "All frames are plate frames ({}). Set Output frames to more than that.",
                    r.plate
                );
            }
            if r.mode == Mode::Generate {
                return format!("Generate: {made} frames are made from the prompt.");
            }
            format!(
                "{:?}: {made} of {} frames are made from plate {}.",
                r.mode,
                r.out.count(),
                r.plate
            )
        }
    }
}

/// How well the plate lends itself, and what would help.
fn lends_itself(
    prepared: Arc<Prepared>,
    order: &Order,
    host: &mut dyn Host,
) -> Result<String, Failure> {
    let range = order.request.plate;
    let errand = Errand::send(move |desk| match prepared.take.analysis().plate() {
        Some(analysis) => {
            let edit = prepared.take.decision().edit_list();
            let purpose = edit.map(Use::of).unwrap_or_default();
            Ok(suitability(analysis, range, purpose, desk.task())?.summary())
        }
        None => Ok("The latents are there: frames need only be decoded.".to_owned()),
    });
    errand.join(host.instance());
    errand.attend(host, true)
}

/// A message as a sentence of its own.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let text = format!("{first}{}", letters.as_str());
    if text.ends_with('.') {
        text
    } else {
        text + "."
    }
}
