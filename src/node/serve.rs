//! Frames of a plate in files: from memory, from the store, or made.
//!
//! What is kept is the frame as the host is handed it, in its colours, at its size and
//! with its samples, so that one that is there is copied and no more. A frame that had to be made
//! a second time goes to the store: playing a take once, as a final render does,
//! leaves nothing there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ahead;
use super::errand::{Errand, Failure};
use super::file::{FileReader, FileSource};
use super::fit::{Alpha, Fit, resized, with_alpha};
use super::host::Host;
use super::known::{Prepared, known};
use super::make::job_of;
use super::order::Order;
use super::pixels::{Image, Rect, rearranged};
use super::prepare::{Plate, prepare};
use super::render::RenderArgs;
use super::shelf::Shelf;
use crate::engine::{EngineError, Sources};
use crate::frame::{Conversion, Picture, PlateReader, Window};
use crate::sequence::key_of;
use crate::store::Streamed;

/// Bytes that are read from the store, checked and handed on at once.
const PIECE: usize = 4 << 20;

/// How frames of a take, or of its plate, are shown to a host.
#[derive(Clone)]
struct Showing {
    file: Arc<FileSource>,
    fit: Fit,
    /// What is done with colours that have alpha.
    alpha: Alpha,
    /// The samples of the host's pixels.
    names: &'static [&'static str],
    /// What makes frames; `None` where a plate frame is handed on.
    prepared: Option<Arc<Prepared>>,
    /// Pictures kept in memory, in bytes.
    memory: usize,
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
    let kept = order.timeline.kept(frame);
    let known_take = || known().takes(&job.order()).into_iter().next();
    let prepared = match (kept, known_take()) {
        (None, None) => Some(prepare(&job, &[], host)?),
        (_, there) => there,
    };
    let showing = Showing {
        file: Arc::clone(file),
        fit,
        alpha: alpha_for(file, output.layout().premultiplied),
        names: output.layout().components.names(),
        prepared: prepared.clone(),
        memory: job.memory,
    };
    let way = known().shown(&job.order(), frame);
    let whole = showing.whole();
    let asked = match fit.resize {
        true => whole,
        false => fit.canvas.window(&window).intersection(&whole),
    };
    let name = showing.name(kept, frame, whole);
    let own = showing.name(kept, frame, asked);
    let frames = &known().frames;
    let found = frames.get(&name).or_else(|| frames.get(&own));
    let following = ahead::next(order, frame, way);
    let read_ahead = |frames: &[i32]| {
        let lacking = |f: &i32| !showing.is_there(order.timeline.kept(*f), *f, &job.shelf);
        let frames: Vec<i32> = frames.iter().copied().filter(lacking).collect();
        let mut plates = ahead::needs(order, prepared.as_ref(), &frames);
        plates.retain(|&p| !known().frames.has(&file.name_of(p, fit.factor)));
        file.prefetch(&plates, job.memory);
    };
    if let Some(picture) = found {
        output.write(&args.window, &fit.canvas, &picture, showing.names);
    } else if asked == whole
        && kept.is_none()
        && showing.pass_on(&job.shelf, &name, args, output, host)?
    {
        // It is in the host's picture already.
    } else {
        let all: Vec<i32> = [frame].into_iter().chain(following).collect();
        read_ahead(&all);
        let picture = showing.make(kept, frame, asked, own, host)?;
        output.write(&args.window, &fit.canvas, &picture, showing.names);
        if asked == whole && kept.is_none() && known().made_again(&name) {
            put_by(&job.shelf, name, &picture);
        }
        return Ok(());
    }
    read_ahead(&following);
    if let Some(&next) = following.first()
        && order.timeline.kept(next).is_none()
    {
        showing.fetch(&job.shelf, next);
    }
    Ok(())
}

/// What is done with the colours of `file` for a host that has them multiplied by
/// alpha, or not.
fn alpha_for(file: &FileSource, premultiplied: bool) -> Alpha {
    if file.info.channel("A").is_none() {
        return Alpha::Stays;
    }
    match (file.premultiplied, premultiplied) {
        (false, true) => Alpha::Multiplied,
        // What a movie has is not told by it: it is handed on as it is.
        (true, false) if !file.movie => Alpha::Divided,
        _ => Alpha::Stays,
    }
}

impl Showing {
    /// The pixels of a whole picture.
    fn whole(&self) -> Window {
        let read = |n: usize| n.div_ceil(self.fit.factor);
        Window::whole(read(self.file.info.width), read(self.file.info.height))
    }

    /// Names the part `window` of output frame `frame`, or of plate frame `kept`, as
    /// it is shown.
    fn name(&self, kept: Option<i32>, frame: i32, window: Window) -> blake3::Hash {
        let of = match (kept, &self.prepared) {
            (None, Some(prepared)) => *prepared.take.hash(),
            _ => self.file.key,
        };
        let size = [self.fit.canvas.width(), self.fit.canvas.height()];
        let colours = self.file.write.as_ref().map(Conversion::id);
        key_of(&[
            "shown frame 1",
            of.to_hex().as_str(),
            &format!("{kept:?} {frame} {window:?} at 1/{}", self.fit.factor),
            &format!("{:?} {colours:?}", self.fit.resize.then_some(size)),
            match self.alpha {
                Alpha::Stays => "false",
                Alpha::Multiplied => "true",
                Alpha::Divided => "divided",
            },
            &self.names.concat(),
            &format!("{}", cfg!(target_endian = "little")),
        ])
    }

    /// Whether an output frame, or plate frame `kept`, is in memory or in the store.
    fn is_there(&self, kept: Option<i32>, frame: i32, shelf: &Shelf) -> bool {
        let name = self.name(kept, frame, self.whole());
        let stored = || shelf.second.as_ref().is_some_and(|s| s.has_frame(&name));
        known().frames.has(&name) || (kept.is_none() && stored())
    }

    /// Samples of a shown frame, and of so many of its rows as are read at once.
    fn samples(&self) -> (usize, usize) {
        let row = self.fit.canvas.width() * self.names.len();
        let rows = (PIECE / size_of::<f32>() / row.max(1)).max(1);
        (row * self.fit.canvas.height(), rows * row)
    }

    /// Writes the frame called `name` where the store has it; whether it had.
    fn pass_on(
        &self,
        shelf: &Shelf,
        name: &blake3::Hash,
        args: &RenderArgs,
        output: &mut Image<'_>,
        host: &mut dyn Host,
    ) -> Result<bool, Failure> {
        let Some(store) = &shelf.second else {
            return Ok(false);
        };
        if !store.has_frame(name) {
            return Ok(false);
        }
        let canvas = self.fit.canvas;
        if args.window.intersection(&canvas) != args.window {
            output.black(&args.window);
        }
        let (count, piece) = self.samples();
        let row = (canvas.width() * self.names.len()).max(1);
        let mut keep = Vec::new();
        if count * size_of::<f32>() <= self.memory {
            keep.reserve_exact(count);
        }
        let mut top = canvas.y2;
        let streamed = store.stream_frame(name, count, piece, &mut |samples| {
            let held = Rect {
                y1: top - (samples.len() / row) as i32,
                y2: top,
                ..canvas
            };
            top = held.y1;
            output.write_rows(&args.window, &held, samples, self.names);
            if keep.capacity() > 0 {
                keep.extend_from_slice(samples);
            }
            !host.aborted()
        });
        match streamed {
            Streamed::Stopped => Err(Failure::Stopped),
            Streamed::Whole => {
                self.remember(*name, keep);
                Ok(true)
            }
            Streamed::Missing | Streamed::Damaged => Ok(false),
        }
    }

    /// Keeps a frame read from the store in memory.
    fn remember(&self, name: blake3::Hash, samples: Vec<f32>) {
        let (w, h) = (self.fit.canvas.width(), self.fit.canvas.height());
        if let Some(picture) = Picture::from_data(w, h, self.names.len(), samples) {
            known().frames.put(name, &Arc::new(picture), self.memory);
        }
    }

    /// Reads made frame `frame` from the store into memory, on a thread of its own,
    /// unless that is at work already.
    fn fetch(&self, shelf: &Arc<Shelf>, frame: i32) {
        static AT_WORK: AtomicBool = AtomicBool::new(false);
        let name = self.name(None, frame, self.whole());
        let (count, piece) = self.samples();
        // It must not push out what is shown now.
        let room = 4 * count * size_of::<f32>() <= self.memory;
        let stored = shelf.second.as_ref().is_some_and(|s| s.has_frame(&name));
        if !room || !stored || known().frames.has(&name) {
            return;
        }
        let (showing, shelf) = (self.clone(), Arc::clone(shelf));
        let work = move || {
            let mut samples = Vec::with_capacity(count);
            let streamed = shelf.second.as_ref().map(|store| {
                store.stream_frame(&name, count, piece, &mut |s| {
                    samples.extend_from_slice(s);
                    true
                })
            });
            if streamed == Some(Streamed::Whole) {
                showing.remember(name, samples);
            }
        };
        alone(&AT_WORK, "longtake-ahead", work);
    }

    /// The part `window` of output frame `frame`, or of plate frame `kept`, as it is
    /// shown, to be kept in memory as `name`.
    fn make(
        &self,
        kept: Option<i32>,
        frame: i32,
        window: Window,
        name: blake3::Hash,
        host: &mut dyn Host,
    ) -> Result<Arc<Picture>, Failure> {
        let showing = self.clone();
        let errand = Errand::send(move |desk| {
            let file = &showing.file;
            let fit = &showing.fit;
            let frames = &known().frames;
            let mut reader = FileReader::new(file, frames, fit.factor, showing.memory);
            let mut shared = false;
            let picture: Result<Arc<Picture>, EngineError> = match (kept, &showing.prepared) {
                // At full size, as its file has it, samples that are no numbers too.
                (Some(plate), _) if fit.factor == 1 && file.write.is_none() => {
                    let picture = file.read_untouched(plate);
                    picture
                        .map(|p| Picture::crop(&p, window))
                        .map_err(Into::into)
                }
                (None, Some(prepared)) => {
                    let mut sources = Sources {
                        plate: &mut reader,
                        matte: None,
                        guide: None,
                        subjects: Default::default(),
                    };
                    let take = &prepared.take;
                    take.make(frame, window, &mut sources, desk.task())
                }
                (plate, _) => {
                    // The reader keeps it.
                    shared = true;
                    let picture = reader.read(plate.unwrap_or(frame));
                    picture
                        .map(|p| Picture::crop(&p, window))
                        .map_err(Into::into)
                }
            };
            let read = picture?;
            let finished = showing.finished(&read)?;
            if !(shared && Arc::ptr_eq(&read, &finished)) {
                frames.put(name, &finished, showing.memory);
            }
            Ok(finished)
        });
        errand.join(host.instance());
        errand.attend(host, true)
    }

    /// `picture` at the size, in the colours and with the samples that the host wants.
    fn finished(&self, picture: &Arc<Picture>) -> Result<Arc<Picture>, Failure> {
        let (file, fit) = (&self.file, &self.fit);
        let mut picture = Arc::clone(picture);
        if fit.resize {
            let size = (fit.canvas.width(), fit.canvas.height());
            picture = Arc::new(resized(&picture, size.0, size.1));
        }
        let names: Vec<&str> = file.info.channels.iter().map(String::as_str).collect();
        if let Some(write) = &file.write {
            picture = converted(&picture, write, &names, file.premultiplied)?;
        }
        if self.alpha != Alpha::Stays {
            with_alpha(Arc::make_mut(&mut picture), &names, self.alpha);
        }
        if names != self.names && picture.channels() == names.len() {
            picture = Arc::new(rearranged(&picture, &names, self.names));
        }
        Ok(picture)
    }
}

/// Puts a made frame by in the store, on a thread of its own, unless that is at work
/// already. One that cannot be kept will be made again.
fn put_by(shelf: &Arc<Shelf>, name: blake3::Hash, picture: &Arc<Picture>) {
    static AT_WORK: AtomicBool = AtomicBool::new(false);
    let missing = |s: &crate::store::DiskStore| !s.has_frame(&name);
    if !shelf.second.as_ref().is_some_and(missing) {
        return;
    }
    let (shelf, picture) = (Arc::clone(shelf), Arc::clone(picture));
    let work = move || {
        if let Some(store) = &shelf.second {
            // What the store cannot keep it says where a result is lost, not here.
            let _ = store.save_frame(&name, picture.data());
        }
    };
    alone(&AT_WORK, "longtake-keep", work);
}

/// Does `work` on a thread called `name`, unless the last of its kind is `at_work`
/// still or the system grants no thread.
fn alone(at_work: &'static AtomicBool, name: &str, work: impl FnOnce() + Send + 'static) {
    if at_work.swap(true, Ordering::AcqRel) {
        return;
    }
    let work = move || {
        work();
        at_work.store(false, Ordering::Release);
    };
    let thread = std::thread::Builder::new().name(name.to_owned());
    if thread.spawn(work).is_err() {
        at_work.store(false, Ordering::Release);
    }
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

#[cfg(test)]
mod tests;
