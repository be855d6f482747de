use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;
use crate::frame::{FrameHeader, FrameRange, PlateInfo, SequenceWriter, Transfer, WriteOptions};
use crate::manifest::manifest;
use crate::node::{Components, Depth, Layout, NoHost, Node, RawValue, RenderArgs, Scene, Status};

const SIZE: (usize, usize) = (72, 48);
const PLATE: i32 = 40;

/// A plate in files of its own look, and a take of it.
struct Shot {
    folder: tempfile::TempDir,
    scene: Scene,
}

impl Shot {
    fn new(look: f32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let info = PlateInfo {
            range: FrameRange::new(1, PLATE).unwrap(),
            width: SIZE.0,
            height: SIZE.1,
            full_size: SIZE,
            channels: ["R", "G", "B", "A"].map(str::to_owned).to_vec(),
            fps: 24.0,
            transfer: Transfer::Linear,
            pixel_aspect: 1.0,
            ids: Vec::new(),
        };
        let path = folder.path().join("plate.####.exr");
        let header = FrameHeader::new(&info);
        let writer = SequenceWriter::new(&path, header, WriteOptions::default()).unwrap();
        for frame in 1..=PLATE {
            let mut picture = Picture::new(SIZE.0, SIZE.1, 4);
            for y in 0..SIZE.1 {
                for (x, pixel) in picture.row_mut(y).chunks_exact_mut(4).enumerate() {
                    let (x, y, t) = (x as f32 / 9.0, y as f32 / 7.0, frame as f32 * 0.3 + look);
                    let wave = (x + t).sin() * (y - 0.7 * t).cos() + (x + y - 1.3 * t).sin();
                    pixel.copy_from_slice(&[0.5 + 0.2 * wave, 0.4, 0.3 + 0.1 * wave, 1.0]);
                }
            }
            writer.write(frame, &Arc::new(picture)).unwrap();
        }
        let store = folder.path().join("store");
        let params = &manifest().unwrap().params;
        let mut values = vec![RawValue::default(); params.len()];
        for (name, text, number, second) in [
            ("plate", path.display().to_string(), 0.0, 0.0),
            ("store", store.display().to_string(), 0.0, 0.0),
            ("frames", String::new(), 1.0, 120.0),
            ("plans", String::new(), 1.0, 0.0),
        ] {
            let at = params.iter().position(|p| p.name == name).unwrap();
            values[at] = RawValue {
                known: true,
                text,
                number,
                second,
            };
        }
        let scene = Scene {
            generator: true,
            params: values,
            temporal_access: true,
            ..Scene::default()
        };
        Self { folder, scene }
    }

    fn render(&self, frame: i32) -> Vec<f32> {
        let (w, h) = SIZE;
        let mut data = vec![-1.0f32; w * h * 4];
        let bounds = Rect::from([0, 0, w as i32, h as i32]);
        let layout = Layout {
            row_bytes: (w * 16) as isize,
            bounds,
            region: Some(bounds),
            depth: Depth::Float,
            components: Components::Rgba,
            premultiplied: true,
        };
        let args = RenderArgs {
            time: f64::from(frame),
            window: bounds,
            scale: [1.0; 2],
            fielded: false,
        };
        // SAFETY: `data` holds the rows that the layout tells of.
        let output = unsafe { Image::new(data.as_mut_ptr().cast(), layout) }.unwrap();
        let report = Node::new().render(&self.scene, &args, output, &mut NoHost);
        assert_eq!((report.status, &*report.message), (Status::Done, ""));
        data
    }

    /// Renders it as where memory has forgotten all pictures.
    fn render_anew(&self, frame: i32) -> Vec<f32> {
        known().frames.clear();
        self.render(frame)
    }

    /// Files of frames in the store.
    fn stored(&self) -> Vec<PathBuf> {
        let list = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|e| e.path()).collect()
        };
        let shelves = list(&self.folder.path().join("store"));
        let mut files: Vec<_> = shelves.iter().flat_map(|s| list(s)).collect();
        files.retain(|f| f.extension().is_some_and(|e| e == "frame"));
        files
    }

    /// The frames of the plate that output frame `frame` needs, and the plate.
    fn needs(&self, frame: i32) -> (Vec<i32>, Arc<FileSource>) {
        let order = Order::of(&self.scene).unwrap();
        let file = order.file.clone().unwrap();
        let job = job_of(&order, Plate::File(Arc::clone(&file)));
        let take = known().takes(&job.order()).into_iter().next();
        (ahead::needs(&order, take.as_ref(), &[frame]), file)
    }
}

/// Waits for `done`, some seconds at most.
fn wait_for(mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !done() {
        if begun.elapsed() > Duration::from_secs(20) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn a_frame_made_again_goes_to_the_store_and_comes_from_there() {
    let shot = Shot::new(0.1);
    let made = shot.render(100);
    shot.render(101);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(shot.stored().len(), 0, "what is made once is not kept");
    // Others of these tests may have the process forget what it made.
    let kept = wait_for(|| {
        assert_eq!(shot.render_anew(100), made);
        !shot.stored().is_empty()
    });
    assert!(kept);
    let file = shot.stored().remove(0);
    // Where the frame comes from: another frame in its place would be shown, were
    // it not for the checksum.
    let whole = std::fs::read(&file).unwrap();
    let mut broken = whole.clone();
    broken[5000] ^= 1;
    std::fs::write(&file, &broken).unwrap();
    assert_eq!(shot.render_anew(100), made, "a damaged one is made again");
    assert!(wait_for(|| {
        shot.render_anew(100);
        shot.stored().len() == 1
    }));
    assert_eq!(std::fs::read(&file).unwrap(), whole);
    // It is read, not made: no plate frame is needed for it.
    let (needs, file) = shot.needs(100);
    let plate = |f: &i32| known().frames.has(&file.name_of(*f, 1));
    assert!(wait_for(|| {
        let same = shot.render_anew(100) == made;
        same && !needs.iter().any(plate)
    }));
}

#[test]
fn play_reads_ahead_the_way_it_goes() {
    let shot = Shot::new(0.7);
    for (frames, next) in [([60, 61, 62], 63), ([90, 89, 88], 87)] {
        for frame in frames {
            shot.render(frame);
        }
        let (needs, file) = shot.needs(next);
        assert!(!needs.is_empty());
        let there = |p: &i32| known().frames.has(&file.name_of(*p, 1)) || file.is_ready(*p);
        assert!(
            wait_for(|| needs.iter().all(there)),
            "frame {next} needs {needs:?}"
        );
    }
}
