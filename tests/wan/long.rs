//! Takes that are longer than the model makes at once, in pieces.

use std::collections::HashSet;
use std::sync::Arc;

use candle_core::Tensor;
use longtake::device::{Cancel, Task};
use longtake::engine::wan::vae::{self, VaeDecoder};
use longtake::engine::wan::{Role, Settings, WanEngine, Way};
use longtake::engine::{Engine, Keep};
use longtake::frame::Picture;
use longtake::sequence::{Kept, Mode, Take};
use longtake::store::{MemoryVault, Vault};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::support::tensors;
use crate::take::{Frames, Order, folder, range, settings};

/// Remembers what was put.
struct Counting {
    kept: MemoryVault,
    put: Mutex<HashSet<blake3::Hash>>,
    bytes: Mutex<usize>,
    /// How often something was made that had been.
    twice: Mutex<usize>,
}

impl Counting {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            kept: MemoryVault::new(256 << 20),
            put: Mutex::default(),
            bytes: Mutex::default(),
            twice: Mutex::default(),
        })
    }

    fn count(&self) -> usize {
        self.put.lock().len()
    }
}

impl Keep for Counting {
    fn get(&self, name: &blake3::Hash) -> Option<Vec<u8>> {
        self.kept.get(name)
    }

    fn put(&self, name: &blake3::Hash, bytes: &[u8]) {
        let new = self.put.lock().insert(*name);
        *self.twice.lock() += usize::from(!new);
        *self.bytes.lock() += if new { bytes.len() } else { 0 };
        self.kept.put(name, bytes);
    }
}

/// Frames from words, `count` of them, 17 at once.
fn long(folder: &TempDir, size: [usize; 2], count: i32) -> Order {
    Order {
        mode: Mode::Generate,
        out: range(1001, 1000 + count),
        keep: None,
        plate: Frames::blank(size[0], size[1], 1),
        matte: None,
        guide: None,
        settings: Settings {
            at_once: 17,
            overlap: 5,
            steps: 3,
            ..settings(folder.path(), size)
        },
    }
}

fn kept() -> Arc<Kept<MemoryVault>> {
    Arc::new(Kept(MemoryVault::new(256 << 20)))
}

fn take(order: &Order, keep: Arc<dyn Keep>) -> Take<WanEngine> {
    order.take_kept(keep, &(), Task::quiet()).unwrap()
}

/// All latents of the only shot.
fn latents(order: &Order, take: &Take<WanEngine>) -> Tensor {
    order.all_latents(take, take.decision())
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn any_order_of_making_gives_the_same_bytes() {
    let folder = folder("whole");
    let order = long(&folder, [48, 32], 90);
    let frames = |take: &Take<WanEngine>, order: &Order, all: &[i32]| -> Vec<Arc<Picture>> {
        let mut made: Vec<_> = all.iter().map(|f| (*f, order.frame(take, *f))).collect();
        made.sort_by_key(|(f, _)| *f);
        made.into_iter().map(|(_, p)| p).collect()
    };
    let forwards: Vec<i32> = order.out.iter().collect();
    let one = frames(&take(&order, kept()), &order, &forwards);
    let backwards: Vec<i32> = order.out.iter().rev().collect();
    let two = frames(&take(&order, kept()), &order, &backwards);
    // Pieces first, each level's from the last to the first, two of them twice, by
    // machines that share a store; then frames with nothing of the sort done before.
    let shared = kept();
    let other = take(&order, shared.clone());
    let stages = other.engine().pieces(&order.timeline(), &order.plate.info);
    let stages = stages.unwrap();
    let names: Vec<_> = stages.iter().map(|s| s.name).collect();
    assert_eq!(names, ["anchors", "anchors 2", "fills", "decode"]);
    for (stage, pieces) in stages.iter().enumerate() {
        for number in (0..pieces.pieces.len()).rev() {
            let again = take(&order, shared.clone());
            let twice = number == 0;
            let piece = (stage, number);
            let made = order.with(|s| again.make_piece(piece, twice, s, Task::quiet()));
            made.unwrap();
        }
    }
    let three = frames(&other, &order, &forwards);
    for (i, frame) in one.iter().enumerate() {
        assert_eq!(frame.data(), two[i].data(), "frame {i} backwards");
        assert_eq!(frame.data(), three[i].data(), "frame {i} from pieces");
    }
    assert!(one[3].data() != one[60].data());
    let none = order.with(|s| other.make_piece((1, 99), false, s, Task::quiet()));
    assert!(none.is_err());
}

#[test]
fn one_frame_of_a_minute_makes_only_what_it_needs() {
    let folder = folder("whole");
    let mut order = long(&folder, [16, 16], 1440);
    order.settings.steps = 1;
    order.settings.at_once = 81;
    let keep = Counting::new();
    let take = take(&order, keep.clone());
    assert_eq!(keep.count(), 0, "nothing is made before it is asked for");
    order.frame(&take, 1700);
    let scheme = &take.decision().shots[0].scheme;
    let latent = (1700usize - 1001).div_ceil(4);
    let mut runs = scheme.runs.parts.iter();
    let run = runs.find(|p| p.contains(&latent)).unwrap();
    let made = keep.count() - run.len() * 4;
    let before = keep.count();
    order.frame(&take, 1701);
    order.frame(&take, 1699);
    assert_eq!(keep.count(), before, "neighbours are there");
    assert_eq!(*keep.twice.lock(), 0);
    // The plan says the same: what a frame needs is little, and it is all.
    let stages = take.engine().pieces(&order.timeline(), &order.plate.info);
    let stages = stages.unwrap();
    let run = stages.last().unwrap().pieces.iter();
    let run = run.filter(|p| p.frames.contains(&1700)).collect::<Vec<_>>();
    let mut needed: HashSet<(usize, usize)> = HashSet::new();
    let mut open: Vec<_> = run.iter().flat_map(|p| p.needs.clone()).collect();
    while let Some(at) = open.pop() {
        if needed.insert(at) {
            open.extend(stages[at.0].pieces[at.1].needs.iter().copied());
        }
    }
    assert!(
        made <= needed.len(),
        "{made} made, {} planned",
        needed.len()
    );
    assert!(needed.len() <= 10, "{}", needed.len());
}

/// The mean step in time of latents from place `l` to the next, for each `l`.
fn steps(latents: &Tensor) -> Vec<f64> {
    let (_, channels, frames, rows, columns) = latents.dims5().unwrap();
    let size = rows * columns;
    let values = values(latents);
    (0..frames - 1)
        .map(|l| {
            let at = |c: usize, l: usize| &values[(c * frames + l) * size..][..size];
            let pairs = (0..channels).flat_map(|c| at(c, l).iter().zip(at(c, l + 1)));
            let sum: f64 = pairs.map(|(a, b)| f64::from((a - b).abs())).sum();
            sum / (channels * size) as f64
        })
        .collect()
}

fn mean(list: impl Iterator<Item = f64>) -> f64 {
    let list: Vec<f64> = list.collect();
    list.iter().sum::<f64>() / list.len() as f64
}

#[test]
fn fills_join_their_anchors_without_a_seam() {
    let folder = folder("whole");
    let mut order = long(&folder, [48, 32], 400);
    order.settings.overlap = 9;
    order.settings.at_once = 41;
    let take = take(&order, kept());
    let steps = steps(&latents(&order, &take));
    let scheme = &take.decision().shots[0].scheme;
    // Where the latents that a group was given end and its own begin.
    let mut seams = HashSet::new();
    for group in &scheme.layout.groups {
        let free = group.free();
        for at in [free.start, free.end] {
            if at > 0 && at < group.places.len() && group.is_fill() {
                seams.insert(group.places[at - 1]);
            }
        }
    }
    assert!(seams.len() > 10, "{}", seams.len());
    let at = |there: bool| {
        let all = steps.iter().enumerate();
        mean(
            all.filter(|(l, _)| seams.contains(l) == there)
                .map(|(_, s)| *s),
        )
    };
    let ratio = at(true) / at(false);
    println!("{} seams: {ratio:.4} of a step elsewhere", seams.len());
    assert!(ratio <= 1.02, "{ratio}");
}

#[test]
fn decoding_in_runs_gives_what_decoding_at_once_gives() {
    let folder = folder("whole");
    let order = long(&folder, [16, 16], 250);
    let take = take(&order, kept());
    let (config, vb) = vae::open(&folder.path().join("vae")).unwrap();
    let decoder = VaeDecoder::load(&config, &vb).unwrap();
    let mut whole = Vec::new();
    let all = latents(&order, &take);
    let piece = &mut |piece: vae::Piece| whole.push(piece.pixels);
    decoder
        .decode(&all, vae::Tiling::Whole, Task::quiet(), piece)
        .unwrap();
    let scheme = &take.decision().shots[0].scheme;
    // The last run does not look back to the beginning.
    assert!(scheme.looks_back.last().is_some_and(|first| *first > 0));
    let space = take.analysis().space;
    for frame in order.out.iter().rev() {
        let i = (frame - order.out.first) as usize;
        let made = order.frame(&take, frame);
        let expected = space.picture(&whole[i]);
        let apart = made.data().iter().zip(expected.data());
        let error = apart.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        // Frames are kept in steps of 1/65535.
        assert!(error <= 1e-4, "frame {i}: {error}");
    }
}

#[test]
fn every_kind_of_model_makes_long_takes_that_begin_and_end_with_the_plate() {
    for (mode, name) in [
        (Mode::Animate, "animate"),
        (Mode::Between, "between"),
        (Mode::Between, "a14b_between"),
        (Mode::Animate, "ti2v"),
        (Mode::Extend, "vace"),
        (Mode::Between, "vace"),
    ] {
        let folder = folder(name);
        let given = tensors("with_plate/plate.safetensors");
        let plate = Frames::of(&given["plate"]);
        let size = [plate.info.width, plate.info.height];
        let mut order = long(&folder, size, 70);
        order.out = range(1, 70);
        order.mode = mode;
        order.plate = plate.clone();
        order.settings.guidance.scale = 2.;
        let with = |order: &Order| {
            let take = take(order, kept());
            assert!(!take.decision().shots[0].scheme.layout.is_single());
            let made = latents(order, &take);
            assert!(values(&made).iter().all(|v| v.is_finite()), "{name}");
            (made, take)
        };
        let (made, take) = with(&order);
        let picture = order.frame(&take, 40);
        assert!(picture.data().iter().all(|v| v.is_finite()));
        let first = order.frame(&take, 1);
        assert_eq!(first.data(), plate.pictures[0].data(), "{name}");
        // What the plate is matters in the middle too, through the anchors.
        let mut other = long(&folder, size, 70);
        other.out = range(1, 70);
        other.mode = mode;
        other.plate = plate.clone();
        other.plate.pictures.rotate_left(3);
        other.settings.guidance.scale = 2.;
        let (changed, _) = with(&other);
        let middle = |t: &Tensor| values(&t.narrow(2, 8, 2).unwrap());
        let pairs = middle(&made).into_iter().zip(middle(&changed));
        let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(apart > 1e-3, "{name}: {apart}");
    }
}

#[test]
fn a_long_plate_is_filled_followed_and_restyled_in_pieces() {
    let given = tensors("with_plate/plate.safetensors");
    let frames = |key: &str| {
        let mut frames = Frames::of(&given[key]);
        let own = frames.pictures.clone();
        // There and back, so that it is as long as wanted.
        frames.pictures = (0..40)
            .map(|i| {
                let n = own.len() - 1;
                let at = i % (2 * n);
                own[at.min(2 * n - at)].clone()
            })
            .collect();
        frames.info.range = range(1, 40);
        frames
    };
    for (mode, way, name) in [
        (Mode::Fill, Way::Fill, "vace"),
        (Mode::Match, Way::Follow, "vace"),
        (Mode::Restyle, Way::Restyle, "restyle"),
    ] {
        let folder = folder(name);
        let plate = frames("plate");
        let size = [plate.info.width, plate.info.height];
        let order = Order {
            mode,
            out: range(1, 40),
            plate: plate.clone(),
            matte: (mode == Mode::Fill).then(|| frames("matte")),
            guide: (mode == Mode::Match).then(|| frames("guide")),
            settings: Settings {
                way,
                ..long(&folder, size, 40).settings
            },
            ..long(&folder, size, 40)
        };
        let take = take(&order, kept());
        let shot = &take.decision().shots[0];
        assert!(shot.latents.is_none() && shot.scheme.layout.fills.len() > 1);
        let made = order.frame(&take, 23);
        assert!(made.data().iter().all(|v| v.is_finite()));
        if let Some(matte) = &order.matte {
            let outside = matte.pictures[22].data().iter().enumerate();
            for (i, _) in outside.filter(|(_, m)| **m == 0.) {
                let at = i * 3..i * 3 + 3;
                assert_eq!(made.data()[at.clone()], plate.pictures[22].data()[at]);
            }
        }
    }
}

#[test]
fn a_minute_needs_no_more_memory_than_ten_seconds() {
    let folder = folder("whole");
    let needs = |count: i32, refine: Option<[usize; 2]>| {
        let mut order = long(&folder, [832, 480], count);
        order.settings.at_once = 81;
        order.settings.overlap = 9;
        order.settings.refine = refine;
        let engine = WanEngine::new(order.settings.clone(), kept());
        engine.needs(&order.timeline(), &order.plate.info).unwrap()
    };
    let (short, long) = (needs(240, None), needs(1440, None));
    assert_eq!(short.memory, long.memory);
    // Latents alone grow with it; frames give way once they were shown.
    assert_eq!(long.store - short.store, 300 * 16 * 60 * 104 * 4);
    assert!(short.memory > 10 << 20, "{}", short.memory);
    let large = needs(1440, Some([1664, 960]));
    assert!(large.memory > long.memory && large.store > long.store);
    assert_eq!(large.memory, needs(240, Some([1664, 960])).memory);
}

#[test]
fn a_stop_in_the_middle_of_a_long_take_loses_no_piece() {
    let folder = folder("whole");
    let order = long(&folder, [48, 32], 90);
    let keep = Counting::new();
    let take = take(&order, keep.clone());
    let cancel = Cancel::default();
    struct Stopper<'a>(&'a Cancel, Mutex<usize>);
    impl longtake::device::Progress for Stopper<'_> {
        fn report(&self, stage: &str, fraction: f64) {
            let mut runs = self.1.lock();
            *runs += usize::from(stage == "Sampling" && fraction == 1.);
            if *runs == 2 {
                self.0.cancel();
            }
        }
    }
    let stopper = Stopper(&cancel, Mutex::default());
    let task = Task {
        cancel: &cancel,
        progress: &stopper,
    };
    let whole = longtake::frame::Window::whole(48, 32);
    let stopped = order.with(|s| take.make(1050, whole, s, task));
    assert!(matches!(
        stopped,
        Err(longtake::engine::EngineError::Cancelled(_))
    ));
    let there = keep.count();
    assert!(there >= 1, "the first piece is kept");
    order.frame(&take, 1050);
    assert_eq!(*keep.twice.lock(), 0, "nothing was made twice");
    assert!(keep.count() > there);
}

#[test]
fn what_is_not_given_for_long_is_as_if_encoded() {
    // Long stretches without a given frame are not encoded; the longer the take, the
    // more so. An end that is given behind one is as it was.
    let encoded = |count: i32| {
        let folder = folder("between");
        let given = tensors("with_plate/plate.safetensors");
        let plate = Frames::of(&given["plate"]);
        let size = [plate.info.width, plate.info.height];
        let mut order = long(&folder, size, count);
        order.out = range(1, count);
        order.mode = Mode::Between;
        order.plate = plate;
        let keep = Counting::new();
        let take = take(&order, keep.clone());
        let shot = &take.analysis().shots[0].shot;
        let last = shot.latents() - 1;
        let at: Vec<usize> = [30].into_iter().chain(last - 2..=last).collect();
        let told = told(&order, &take, &at);
        let bytes = *keep.bytes.lock();
        (told, bytes)
    };
    // Both are longer than the encoder remembers; the one has 80 latent frames more.
    let (short, few) = encoded(201);
    let (longer, same) = encoded(521);
    for (role, values) in &short {
        let (_, other) = longer.iter().find(|(r, _)| r == role).unwrap();
        assert_eq!(values, other, "{role:?}");
    }
    let frame: usize = short.iter().map(|(_, v)| v.len()).sum::<usize>();
    // Each of five chunks more has what nothing comes to once; four latent frames were
    // looked at.
    assert!(same < few + 5 * frame, "the time between costs nothing");
}

/// What the model is given of the latent frames `at`, part by part.
fn told(order: &Order, take: &Take<WanEngine>, at: &[usize]) -> Vec<(Role, Vec<f32>)> {
    let engine = take.engine();
    let quiet = Task::quiet();
    let told = order.with(|s| engine.told(take.analysis(), 0, at, s, quiet).unwrap());
    told.0.iter().map(|(r, t)| (*r, values(t))).collect()
}

#[test]
fn what_was_learned_of_a_long_plate_is_learned_again_where_it_is_lost() {
    let given = tensors("with_plate/plate.safetensors");
    let there_and_back = |key: &str, count: usize| {
        let mut frames = Frames::of(&given[key]);
        let own = frames.pictures.clone();
        let n = own.len() - 1;
        let at = |i: usize| (i % (2 * n)).min(2 * n - i % (2 * n));
        frames.pictures = (0..count).map(|i| own[at(i)].clone()).collect();
        frames.info.range = range(1, count as i32);
        frames
    };
    for (mode, way, name) in [
        (Mode::Fill, Way::Fill, "vace"),
        (Mode::Restyle, Way::Restyle, "vace"),
        (Mode::Restyle, Way::Restyle, "restyle"),
        (Mode::Restyle, Way::Restyle, "ti2v"),
    ] {
        let folder = folder(name);
        let count = 270;
        let plate = there_and_back("plate", count);
        let size = [plate.info.width, plate.info.height];
        let base = long(&folder, size, count as i32);
        let order = Order {
            mode,
            out: range(1, count as i32),
            matte: (mode == Mode::Fill).then(|| there_and_back("matte", count)),
            plate,
            settings: Settings {
                way,
                ..base.settings
            },
            ..base
        };
        let keep = Counting::new();
        let learned = take(&order, keep.clone());
        let all: Vec<usize> = (0..learned.analysis().shots[0].shot.latents()).collect();
        let before = told(&order, &learned, &all);
        assert!(keep.count() > 3, "{name}: nothing is kept apart");
        keep.kept.clear();
        let whole = told(&order, &learned, &all);
        assert_eq!(before, whole, "{name}: {mode:?}");
        // A smaller plate would not come to the same.
        keep.kept.clear();
        let mut smaller = order.plate.clone();
        smaller.info.full_size = (2 * size[0], 2 * size[1]);
        let small = Order {
            plate: smaller,
            ..order
        };
        let engine = learned.engine();
        let lost = small.with(|s| engine.told(learned.analysis(), 0, &[3], s, Task::quiet()));
        assert!(lost.unwrap_err().to_string().contains("storeSize"));
    }
}

#[test]
fn a_tiny_decoder_shows_the_same_latents_and_nothing_is_made_again() {
    let folder = folder("whole");
    let tiny = crate::support::fixture("preview/2.1.safetensors");
    for count in [17, 90] {
        let order = long(&folder, [48, 32], count);
        let mut preview = long(&folder, [48, 32], count);
        preview.settings.files.tiny = Some(tiny.clone());
        let keep = Counting::new();
        let shown = take(&preview, keep.clone());
        let by_tiny = order.frame(&shown, 1011);
        let all = values(&latents(&preview, &shown));
        let before = keep.count();
        let made = take(&order, keep.clone());
        assert_ne!(made.hash(), shown.hash());
        assert_eq!(values(&latents(&order, &made)), all);
        let by_vae = order.frame(&made, 1011);
        assert!(by_vae.data() != by_tiny.data());
        // Frames alone came to the store.
        let scheme = &made.decision().shots[0].scheme;
        let run = scheme.runs.parts.iter().map(|r| 4 * r.len()).max().unwrap();
        assert!(keep.count() - before <= run, "{count}");
        assert_eq!(*keep.twice.lock(), 0);
        // In runs as at once.
        let (config, _) = vae::open(&folder.path().join("vae")).unwrap();
        assert_eq!(config.z_dim, 16);
        let decoder = vae::PreviewDecoder::open(&tiny).unwrap();
        let mut reel = decoder.begin();
        let mut whole = Vec::new();
        for latent in vae::frames_of(&latents(&order, &made)).unwrap() {
            reel.push(&latent, Task::quiet(), &mut |f| whole.push(f))
                .unwrap();
        }
        let expected = shown.analysis().space.picture(&whole[10]);
        let apart = by_tiny.data().iter().zip(expected.data());
        let error = apart.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(error <= 1e-4, "{error}");
    }
    let mut other = long(&folder, [48, 32], 17);
    other.settings.files.tiny = Some(crate::support::fixture("preview/2.2.safetensors"));
    assert!(other.refused().contains("taew2_1"));
}
