//! Takes refined to a larger picture than the model makes at once, tile by tile.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use longtake::device::Task;
use longtake::engine::Engine;
use longtake::engine::wan::vae::{self, VaeDecoder};
use longtake::engine::wan::{Axis, Latents, Settings, WanEngine};
use longtake::sequence::{Kept, Mode, Take};
use longtake::store::MemoryVault;
use tempfile::TempDir;

use crate::take::{Frames, Order, folder, range, settings};

/// The size that the model works in, and that of the frames.
const SIZE: [usize; 2] = [192, 192];
const LARGE: [usize; 2] = [384, 320];

fn order(folder: &TempDir, frames: i32) -> Order {
    Order {
        mode: Mode::Generate,
        out: range(1, frames),
        keep: None,
        plate: Frames::blank(LARGE[0], LARGE[1], 1),
        matte: None,
        guide: None,
        settings: Settings {
            refine: Some(LARGE),
            refine_strength: 0.5,
            steps: 4,
            ..settings(folder.path(), SIZE)
        },
    }
}

fn take(order: &Order) -> Take<WanEngine> {
    let keep = Arc::new(Kept(MemoryVault::new(512 << 20)));
    order.take_kept(keep, &(), Task::quiet()).unwrap()
}

/// The same take with one tile for all of the picture.
fn untiled(decision: &Latents) -> Latents {
    let mut whole = decision.clone();
    whole.name[0] ^= 1;
    let grid = whole.shots[0].scheme.grid.as_mut().unwrap();
    let end = |axis: &Axis| axis.parts.last().unwrap().end;
    grid.rows = Axis::new(end(&grid.rows), usize::MAX, 0, 0);
    grid.columns = Axis::new(end(&grid.columns), usize::MAX, 0, 0);
    whole
}

/// Every token for itself: what one looks at beside itself counts for nothing.
fn without_attention(folder: &TempDir) {
    let path = folder
        .path()
        .join("transformer/diffusion_pytorch_model.safetensors");
    let mut weights = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    for (name, tensor) in &mut weights {
        if name.contains("attn1.to_out") {
            *tensor = tensor.zeros_like().unwrap();
        }
    }
    candle_core::safetensors::save(&weights, &path).unwrap();
}

/// For each place of a picture the mean over frames and channels of what `of` says of
/// two values there.
fn map(a: &Tensor, b: &Tensor, of: impl Fn(f32, f32) -> f32) -> (Vec<f64>, usize) {
    let (_, c, t, h, w) = a.dims5().unwrap();
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut out = vec![0f64; h * w];
    for (i, (a, b)) in values(a).into_iter().zip(values(b)).enumerate() {
        out[i % (h * w)] += f64::from(of(a, b)) / (c * t) as f64;
    }
    (out, w)
}

fn mean(list: impl Iterator<Item = f64>) -> f64 {
    let list: Vec<f64> = list.collect();
    assert!(!list.is_empty());
    list.iter().sum::<f64>() / list.len() as f64
}

#[test]
fn tiles_are_the_whole_where_nothing_looks_beyond_them() {
    let folder = folder("whole");
    without_attention(&folder);
    let order = order(&folder, 5);
    let take = take(&order);
    let decision = take.decision();
    let grid = decision.shots[0].scheme.grid.as_ref().unwrap();
    assert!(grid.rows.parts.len() > 1 && grid.columns.parts.len() > 2);
    let tiled = order.all_latents(&take, decision);
    let whole = order.all_latents(&take, &untiled(decision));
    let (errors, _) = map(&tiled, &whole, |a, b| (a - b).abs());
    let worst = errors.iter().copied().fold(0., f64::max);
    println!("worst {worst:.2e}");
    assert!(worst <= 1e-3, "{worst}");
    // And it is no enlargement alone.
    let mut still = self::order(&folder, 5);
    still.settings.refine_strength = 0.;
    let plain = self::take(&still);
    let plain = still.all_latents(&plain, plain.decision());
    let (moved, _) = map(&tiled, &plain, |a, b| (a - b).abs());
    assert!(mean(moved.into_iter()) > 0.05);
}

#[test]
fn seams_of_tiles_are_no_worse_than_what_lies_between() {
    let folder = folder("whole");
    let order = order(&folder, 5);
    let take = take(&order);
    let decision = take.decision();
    let tiled = order.all_latents(&take, decision);
    let whole = order.all_latents(&take, &untiled(decision));
    let (errors, width) = map(&tiled, &whole, |a, b| (a - b).abs());
    let grid = decision.shots[0].scheme.grid.as_ref().unwrap();
    // Where two tiles both count.
    let both = |axis: &Axis, at: usize| {
        let shares = (0..axis.parts.len()).filter(|i| axis.weight(*i, at) > 0.);
        shares.count() > 1
    };
    let seam = |i: usize| both(&grid.columns, i % width) || both(&grid.rows, i / width);
    let of = |there: bool| {
        let all = errors.iter().enumerate();
        mean(all.filter(|(i, _)| seam(*i) == there).map(|(_, e)| *e))
    };
    let ratio = of(true) / of(false);
    println!("error against the whole at seams {ratio:.3} of that elsewhere");
    assert!(ratio <= 1.02, "{ratio}");
    // Steps from place to place, across the middle of overlaps and elsewhere.
    let columns = tiled.dims5().unwrap().4;
    let (left, right) = (
        tiled.narrow(4, 0, columns - 1).unwrap(),
        tiled.narrow(4, 1, columns - 1).unwrap(),
    );
    let (steps, width) = map(&left, &right, |a, b| (a - b).abs());
    let step = |there: bool| {
        let all = steps.iter().enumerate();
        let crossing =
            |i: usize| both(&grid.columns, i % width) || both(&grid.columns, i % width + 1);
        mean(all.filter(|(i, _)| crossing(*i) == there).map(|(_, s)| *s))
    };
    let ratio = step(true) / step(false);
    println!("steps across seams {ratio:.3} of those elsewhere");
    assert!(ratio <= 1.02, "{ratio}");
}

#[test]
fn tiles_are_decoded_without_a_seam() {
    let folder = folder("whole");
    let order = order(&folder, 5);
    let take = take(&order);
    let decision = take.decision();
    let (config, vb) = vae::open(&folder.path().join("vae")).unwrap();
    let decoder = VaeDecoder::load(&config, &vb).unwrap();
    let mut whole = Vec::new();
    let all = order.all_latents(&take, decision);
    let piece = &mut |piece: vae::Piece| whole.push(piece.pixels);
    decoder
        .decode(&all, vae::Tiling::Whole, Task::quiet(), piece)
        .unwrap();
    let scheme = &decision.shots[0].scheme;
    let grid = scheme.grid.as_ref().unwrap();
    let by = config.spatial_factor();
    let (rows, columns) = (grid.rows.clone().times(by), grid.columns.clone().times(by));
    let both = |axis: &Axis, at: usize| {
        let shares = (0..axis.parts.len()).filter(|i| axis.weight(*i, at) > 0.);
        shares.count() > 1
    };
    // Of the wholly decoded frame and of the one in tiles: steps to the right neighbour
    // in overlaps and elsewhere; and how far the two are apart.
    let space = take.analysis().space;
    let (mut steps, mut count, mut apart) = ([[0f64; 2]; 2], [0f64; 2], [0f64; 2]);
    for (i, frame) in order.out.iter().enumerate() {
        let pair = [
            (*order.frame(&take, frame)).clone(),
            space.picture(&whole[i]),
        ];
        for y in 0..LARGE[1] {
            for x in 0..LARGE[0] - 1 {
                let seam = both(&columns, x) || both(&columns, x + 1) || both(&rows, y);
                let at = usize::from(seam);
                count[at] += 1.;
                let value = |k: usize, x: usize| pair[k].pixel(x, y)[1];
                for (k, steps) in steps.iter_mut().enumerate() {
                    steps[at] += f64::from((value(k, x + 1) - value(k, x)).abs());
                }
                apart[at] += f64::from((value(0, x) - value(1, x)).abs());
            }
        }
    }
    let ratio = |of: [f64; 2]| (of[1] / count[1]) / (of[0] / count[0]);
    let (tiled, once) = (ratio(steps[0]), ratio(steps[1]));
    println!(
        "steps at seams {tiled:.3} of those elsewhere, where all is decoded at once {once:.3}; error {:.1e}, at seams {:.1e}",
        apart[0] / count[0],
        apart[1] / count[1]
    );
    assert!(tiled <= 1.02 * once, "{tiled} {once}");
    assert!(ratio(apart) <= 1.02, "{}", ratio(apart));
}

#[test]
fn a_long_take_is_refined_and_decoded_piece_by_piece() {
    let folder = folder("whole");
    let mut order = order(&folder, 30);
    order.settings.at_once = 17;
    order.settings.overlap = 5;
    order.settings.steps = 2;
    order.settings.guidance.scale = 1.;
    let take = take(&order);
    let stages = take.engine().pieces(&order.timeline(), &order.plate.info);
    let names: Vec<_> = stages.unwrap().iter().map(|s| s.name).collect();
    assert_eq!(names, ["anchors", "fills", "refinement", "decode"]);
    let scheme = &take.decision().shots[0].scheme;
    assert!(scheme.runs.parts.len() >= 2, "{:?}", scheme.runs);
    let frame = order.frame(&take, 17);
    assert_eq!((frame.width(), frame.height()), (LARGE[0], LARGE[1]));
    // Another strength refines other pictures from the same that were made first.
    let mut other = self::order(&folder, 30);
    other.settings = Settings {
        refine_strength: 1.,
        ..order.settings.clone()
    };
    let again = self::take(&other);
    assert_eq!(again.decision().unrefined, take.decision().unrefined);
    assert_ne!(again.decision().name, take.decision().name);
    assert!(order.frame(&again, 17).data() != frame.data());
}
