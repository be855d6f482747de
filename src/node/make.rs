//! Made frames: a window of one, by a take of the plate.

use std::sync::Arc;

use super::errand::{Errand, Failure};
use super::file::{FileReader, FileSource};
use super::fit::{Fit, premultiply, resized};
use super::host::{Host, Scene};
use super::known::{Prepared, known};
use super::order::Order;
use super::pixels::{Image, Rect};
use super::plate::{Check, HostPlate, HostReader, Watch};
use super::prepare::{Job, Plate, prepare};
use super::record::Record;
use super::render::RenderArgs;
use crate::engine::Sources;
use crate::frame::{Conversion, Picture, PlateReader, Window};
use crate::sequence::key_of;

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
    errand.join();
    errand.attend(host, true)
}

/// `picture` with the channels `names` in the colours of the output.
fn converted(
    picture: &Arc<Picture>,
    write: &Conversion,
    names: &[&str],
    premultiplied: bool,
) -> Result<Arc<Picture>, Failure> {
    let at = |name: &str| names.iter().position(|&n| n == name);
    let (Some(r), Some(g), Some(b)) = (at("R"), at("G"), at("B")) else {
        return Ok(Arc::clone(picture));
    };
    let made = write.apply(picture, [r, g, b], at("A").filter(|_| premultiplied));
    made.map(Arc::new).ok_or_else(|| {
        Failure::Message(
            "OpenColorIO failed at the frame's colours: choose another Output colour space"
                .to_owned(),
        )
    })
}

/// Makes, or hands on, frame `frame` of a plate in files. `format` is the
/// host's pixels for the format of the shot.
pub(super) fn from_file(
    order: &Order,
    file: &Arc<FileSource>,
    frame: i32,
    args: &RenderArgs,
    format: &Rect,
    output: &mut Image<'_>,
    host: &mut dyn Host,
) -> Result<(), Failure> {
    let fit = Fit::new(file, format);
    let window = args.window.intersection(&fit.canvas);
    if window.is_empty() {
        output.black(&args.window);
        return Ok(());
    }
    let job = job_of(order, Plate::File(Arc::clone(file)));
    let part = (!fit.resize).then(|| fit.canvas.window(&window));
    let kept = order.timeline.kept(frame);
    let prepared = match kept {
        Some(_) => None,
        None => Some(match known().takes(&job.order()).into_iter().next() {
            Some(prepared) => prepared,
            None => prepare(&job, &[], host)?,
        }),
    };
    let premultiplied = output.layout().premultiplied;
    let file = Arc::clone(file);
    let own = Arc::clone(&file);
    let memory = job.memory;
    let errand = Errand::send(move |desk| {
        let read = |reader: &mut FileReader<'_>, window: Window| match (&prepared, kept) {
            (Some(prepared), _) => {
                let name = key_of(&[
                    prepared.take.hash().to_hex().as_str(),
                    &format!("{frame} {window:?} at 1/{}", fit.factor),
                ]);
                if let Some(picture) = known().frames.get(&name) {
                    return Ok(picture);
                }
                let mut sources = Sources {
                    plate: reader,
                    matte: None,
                    guide: None,
                    subjects: Default::default(),
                };
                let picture = (prepared.take).make(frame, window, &mut sources, desk.task())?;
                known().frames.put(name, &picture, memory);
                Ok(picture)
            }
            // At full size, as its file has it, samples that are no numbers
            // too.
            (None, Some(plate)) if fit.factor == 1 && file.write.is_none() => {
                Ok(Picture::crop(&file.read_untouched(plate)?, window))
            }
            (None, plate) => Ok(Picture::crop(&reader.read(plate.unwrap_or(frame))?, window)),
        };
        let mut reader = FileReader::new(&file, &known().frames, fit.factor, memory);
        let (width, height) = (reader.info().width, reader.info().height);
        let whole = Window::whole(width, height);
        let mut picture: Arc<Picture> =
            read(&mut reader, part.map_or(whole, |p| p.intersection(&whole)))
                .map_err(|e: crate::engine::EngineError| Failure::from(e))?;
        if fit.resize {
            let size = (fit.canvas.width(), fit.canvas.height());
            picture = Arc::new(resized(&picture, size.0, size.1));
        }
        let names: Vec<&str> = file.info.channels.iter().map(String::as_str).collect();
        if let Some(write) = &file.write {
            picture = converted(&picture, write, &names, file.premultiplied)?;
        }
        if premultiplied && !file.premultiplied {
            premultiply(Arc::make_mut(&mut picture), &names);
        }
        Ok(picture)
    });
    errand.join();
    let picture = errand.attend(host, true)?;
    let names: Vec<&str> = own.info.channels.iter().map(String::as_str).collect();
    output.write(&args.window, &fit.canvas, &picture, &names);
    Ok(())
}
