//! What else could be done with a plate: the cross-dissolved loop that
//! compositors make today, video textures (Schödl, Szeliski, Salesin and Essa
//! 2000) and video textures with a graph cut at each transition (Kwatra,
//! Schödl, Essa, Turk and Bobick 2003).
//!
//! The last two follow the plans of our own engine, as many as it makes, and
//! the best is chosen by its own score. Where the exposure drifts they decide on the
//! plate levelled, and the drift is put back, as with us.

use std::sync::Arc;
use std::time::Instant;

use longtake::device::Task;
use longtake::engine::Sources;
use longtake::engine::plate::{Analysis, Event, Judge, Kind, PlateEngine, Settings};
use longtake::frame::{FrameRange, Picture};
use longtake::sequence::{Mode, Request};

use crate::footage::Clip;
use crate::maxflow::Grid;
use crate::method::Made;

/// Frames of a dissolve.
const DISSOLVE: usize = 12;
/// Frames of the cross-fade of a video texture.
const FADE: usize = 6;

/// The plate, and again, over a dissolve of twelve frames.
pub fn dissolve(plate: &Clip, frames: usize) -> Made {
    let started = Instant::now();
    let n = plate.frames.len();
    let fade = DISSOLVE.min(n / 3).max(1);
    let period = n - fade;
    let mut out = Vec::with_capacity(frames);
    let mut source = Vec::with_capacity(frames);
    for t in 0..frames {
        // In each period but the first the first frames of the plate come in
        // over its last.
        let place = t % period;
        let w = (place as f32 + 0.5) / fade as f32;
        if t >= period && place < fade {
            out.push(mix(&plate.frames[period + place], &plate.frames[place], w));
            source.push(if w < 0.5 { period + place } else { place });
        } else {
            out.push(plate.frames[place].clone());
            source.push(place);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    made(plate, out, whole(plate, &source), 0, seconds)
}

/// A clip that begins: at which output index, by how many frames the plate is
/// ahead, and when each cell switches.
struct Transition {
    at: usize,
    offset: i32,
    switch: Vec<u8>,
}

/// The plans of the engine, one of which a baseline carries out.
struct Plans {
    judge: Judge,
    settings: Settings,
    plans: Vec<Vec<(usize, i32)>>,
}

impl Plans {
    fn new(plate: &Clip, frames: usize, keep: usize, settings: &Settings) -> Result<Self, String> {
        let task = Task::quiet();
        let timeline = Request {
            mode: Mode::Extend,
            plate: plate.info.range,
            out: FrameRange::new(1, frames as i32).ok_or("no frames were asked for")?,
            fps: plate.info.fps,
            keep: Some(keep as u32),
        }
        .timeline()
        .map_err(|e| e.to_string())?;
        let engine = PlateEngine {
            settings: settings.clone(),
            ..PlateEngine::default()
        };
        let mut reader = plate.clone();
        let mut sources = Sources {
            plate: &mut reader,
            matte: None,
            guide: None,
            subjects: Default::default(),
        };
        let analysis = engine
            .study(&mut sources, task)
            .map_err(|e| e.to_string())?;
        let judge = Judge::new(&analysis, &timeline, task).map_err(|e| e.to_string())?;
        let plans = (0..settings.plans.max(1))
            .map(|q| judge.plan(settings, q, task).map_err(|e| e.to_string()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            judge,
            settings: settings.clone(),
            plans,
        })
    }

    /// Plate frame `index` as it is shown in frame `t`.
    fn lit(&self, plate: &Clip, index: usize, t: usize) -> Arc<Picture> {
        self.judge.lit(&plate.frames[index], index, t, &plate.info)
    }

    /// Carries every plan out and keeps what the engine's score likes best.
    fn best(&self, carry: impl Fn(usize, usize, i32, i32) -> Vec<u8>) -> Vec<Transition> {
        let mut best: Option<(f64, Vec<Event>)> = None;
        for plan in &self.plans {
            let mut before = 0;
            let mut events = Vec::new();
            for &(at, offset) in plan {
                let switch = carry(self.judge.window(), at, before, offset);
                events.push(Event {
                    at: at as u32,
                    offset,
                    window: self.judge.window() as u8,
                    switch,
                    kind: Kind::Anchor,
                });
                before = offset;
            }
            let score = self.judge.score(&self.settings, &events);
            if best.as_ref().is_none_or(|b| score < b.0) {
                best = Some((score, events));
            }
        }
        best.into_iter()
            .flat_map(|b| b.1)
            .map(|e| Transition {
                at: e.at as usize,
                offset: e.offset,
                switch: e.switch,
            })
            .collect()
    }
}

/// Whole frames, cross-faded over six frames where the clip changes.
pub fn textures(
    plate: &Clip,
    frames: usize,
    keep: usize,
    settings: &Settings,
) -> Result<Made, String> {
    let started = Instant::now();
    let plans = Plans::new(plate, frames, keep, settings)?;
    let cells = plans.judge.analysis().cells();
    let best = plans.best(|_, _, _, _| vec![(FADE / 2) as u8; cells]);
    let last = plate.frames.len() as i32 - 1;
    let shown = |t: usize, offset: i32| (t as i32 + offset).clamp(0, last) as usize;
    let (mut out, mut source) = (Vec::new(), Vec::new());
    for t in 0..frames {
        let k = best.iter().filter(|c| t >= c.at).count();
        let now = k.checked_sub(1).map_or(0, |k| best[k].offset);
        let before = k.checked_sub(2).map_or(0, |k| best[k].offset);
        let since = k.checked_sub(1).map_or(FADE, |k| t - best[k].at);
        if since < FADE {
            let w = (since as f32 + 0.5) / FADE as f32;
            let (a, b) = (shown(t, before), shown(t, now));
            out.push(mix(&plans.lit(plate, a, t), &plans.lit(plate, b, t), w));
            source.push(if w > 0.5 { b } else { a });
        } else {
            out.push(plans.lit(plate, shown(t, now), t));
            source.push(shown(t, now));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(made(plate, out, whole(plate, &source), keep, seconds))
}

/// Each change of clip along the minimal cut through the volume of its window.
pub fn graph_cut(
    plate: &Clip,
    frames: usize,
    keep: usize,
    settings: &Settings,
) -> Result<Made, String> {
    let started = Instant::now();
    let plans = Plans::new(plate, frames, keep, settings)?;
    let analysis = plans.judge.analysis();
    let coarse = Coarse::new(analysis);
    let best = plans.best(|window, at, before, offset| coarse.cut(window, at, before, offset));
    let (w, h) = (plate.info.width, plate.info.height);
    let last = plate.frames.len() as i32 - 1;
    let (cols, rows) = (analysis.cols, analysis.rows);
    let fields: Vec<Vec<f32>> = best
        .iter()
        .map(|c| upsample(&c.switch, cols, rows, w, h))
        .collect();
    let (mut out, mut source) = (Vec::new(), Vec::new());
    for t in 0..frames {
        let mut indices = vec![t as i32; w * h];
        for (c, field) in best.iter().zip(&fields).filter(|(c, _)| t >= c.at) {
            let since = (t - c.at) as f32 + 0.5;
            for (index, &s) in indices.iter_mut().zip(field) {
                if since >= s {
                    *index = t as i32 + c.offset;
                }
            }
        }
        let mut data = Vec::with_capacity(w * h * 3);
        let mut lit = vec![None; plate.frames.len()];
        for (i, index) in indices.iter_mut().enumerate() {
            *index = (*index).clamp(0, last);
            let index = *index as usize;
            let from = lit[index].get_or_insert_with(|| plans.lit(plate, index, t));
            data.extend_from_slice(&from.data()[i * 3..i * 3 + 3]);
        }
        out.push(Arc::new(
            Picture::from_data(w, h, 3, data).ok_or("a frame of another size")?,
        ));
        source.push(indices);
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(made(plate, out, source, keep, seconds))
}

/// The plate on the grid of the cut.
struct Coarse<'a> {
    analysis: &'a Analysis,
    frames: usize,
    /// What a seam is held against in each cell: the root of the plate's mean
    /// squared gradient.
    texture: Vec<f32>,
}

impl<'a> Coarse<'a> {
    fn new(analysis: &'a Analysis) -> Self {
        let (cols, rows) = (analysis.cols, analysis.rows);
        let cells = cols * rows;
        let frames = analysis.colour.len() / (cells * 3);
        let mut sum = vec![0.0f32; cells];
        let looked = (0..frames).step_by(4);
        let count = looked.len() as f32;
        for t in looked {
            let at = |x: usize, y: usize, k: usize| {
                f32::from(analysis.colour[(t * cells + y * cols + x) * 3 + k]) / 4096.0
            };
            for y in 0..rows {
                for x in 0..cols {
                    for k in 0..3 {
                        let (l, r) = (x.saturating_sub(1), (x + 1).min(cols - 1));
                        let (u, d) = (y.saturating_sub(1), (y + 1).min(rows - 1));
                        let gx = (at(r, y, k) - at(l, y, k)) / (r - l).max(1) as f32;
                        let gy = (at(x, d, k) - at(x, u, k)) / (d - u).max(1) as f32;
                        sum[y * cols + x] += gx * gx + gy * gy;
                    }
                }
            }
        }
        let mean: Vec<f32> = sum.iter().map(|s| s / count).collect();
        let texture = blur(&mean, cols, rows, 1.5)
            .iter()
            .map(|g| g.sqrt() + 0.02)
            .collect();
        Self {
            analysis,
            frames,
            texture,
        }
    }

    /// When each cell changes from the clip `before` to the clip `offset`,
    /// in frames after `at`.
    fn cut(&self, window: usize, at: usize, before: i32, offset: i32) -> Vec<u8> {
        let (cols, rows) = (self.analysis.cols, self.analysis.rows);
        let cells = cols * rows;
        let depth = window + 1;
        let last = self.frames as i32 - 1;
        let colour = &self.analysis.colour;
        let mut cost = vec![0i32; cells * depth];
        for u in 0..depth {
            let index = |o: i32| ((at + u) as i32 + o).clamp(0, last) as usize * cells * 3;
            let (a, b) = (index(before), index(offset));
            for c in 0..cells {
                let square: f32 = (0..3)
                    .map(|k| {
                        let (p, q) = (colour[a + c * 3 + k], colour[b + c * 3 + k]);
                        let d = f32::from(p - q) / 4096.0;
                        d * d
                    })
                    .sum();
                cost[u * cells + c] = (square.sqrt() / self.texture[c] * 2000.0) as i32;
            }
        }
        cut(&cost, cols, rows, depth).1
    }
}

/// The minimal cut through a volume of `depth` layers of `rows` × `cols`
/// cells, between its first and its last layer: its capacity, and for each cell
/// the first layer beyond it. An edge between neighbours costs what both
/// cells do.
pub fn cut(cost: &[i32], cols: usize, rows: usize, depth: usize) -> (i64, Vec<u8>) {
    let cells = cols * rows;
    let mut grid = Grid::new(cols, rows, depth);
    for u in 0..depth {
        for y in 0..rows {
            for x in 0..cols {
                let i = u * cells + y * cols + x;
                for (axis, inside, hop) in [
                    (0, x + 1 < cols, 1),
                    (1, y + 1 < rows, cols),
                    (2, u + 1 < depth, cells),
                ] {
                    if inside {
                        grid.join([x, y, u], axis, cost[i] + cost[i + hop]);
                    }
                }
                if u == 0 {
                    grid.tie([x, y, u], -(1 << 28));
                } else if u + 1 == depth {
                    grid.tie([x, y, u], 1 << 28);
                }
            }
        }
    }
    let capacity = grid.cut();
    let first = |c: usize| {
        let beyond = (0..depth).find(|&u| grid.with_source([c % cols, c / cols, u]));
        beyond.unwrap_or(depth - 1) as u8
    };
    (capacity, (0..cells).map(first).collect())
}

fn made(
    plate: &Clip,
    out: Vec<Arc<Picture>>,
    source: Vec<Vec<i32>>,
    kept: usize,
    seconds: f64,
) -> Made {
    Made {
        clip: Clip::new(out, plate.info.fps),
        source: Some(source),
        kept,
        closed: false,
        camera: None,
        seconds,
    }
}

/// The index of each pixel where whole frames are shown.
fn whole(plate: &Clip, source: &[usize]) -> Vec<Vec<i32>> {
    let pixels = plate.info.width * plate.info.height;
    source.iter().map(|&s| vec![s as i32; pixels]).collect()
}

fn mix(a: &Picture, b: &Picture, w: f32) -> Arc<Picture> {
    let mut out = b.clone();
    for (o, v) in out.data_mut().iter_mut().zip(a.data()) {
        *o = w * *o + (1.0 - w) * v;
    }
    Arc::new(out)
}

/// Switch times for each pixel, between cells along straight lines.
fn upsample(switch: &[u8], cols: usize, rows: usize, w: usize, h: usize) -> Vec<f32> {
    let place = |i: usize, to: usize, from: usize| {
        let p = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
        let low = p as usize;
        (low, (low + 1).min(from - 1), p - low as f32)
    };
    let at = |x: usize, y: usize| f32::from(switch[y * cols + x]);
    let mut out = Vec::with_capacity(w * h);
    for y in 0..h {
        let (y0, y1, fy) = place(y, h, rows);
        for x in 0..w {
            let (x0, x1, fx) = place(x, w, cols);
            let top = at(x0, y0) * (1.0 - fx) + at(x1, y0) * fx;
            let low = at(x0, y1) * (1.0 - fx) + at(x1, y1) * fx;
            out.push(top * (1.0 - fy) + low * fy);
        }
    }
    out
}

/// Gaussian blur, edges repeated.
fn blur(plane: &[f32], cols: usize, rows: usize, sigma: f32) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil() as isize;
    let weights: Vec<f32> = (-reach..=reach)
        .map(|d| (-(d * d) as f32 / (2.0 * sigma * sigma)).exp())
        .collect();
    let total: f32 = weights.iter().sum();
    let pass = |from: &[f32], across: bool| -> Vec<f32> {
        (0..cols * rows)
            .map(|c| {
                let (x, y) = ((c % cols) as isize, (c / cols) as isize);
                let sum: f32 = (-reach..=reach)
                    .zip(&weights)
                    .map(|(d, w)| {
                        let (dx, dy) = if across { (d, 0) } else { (0, d) };
                        let x = (x + dx).clamp(0, cols as isize - 1) as usize;
                        let y = (y + dy).clamp(0, rows as isize - 1) as usize;
                        w * from[y * cols + x]
                    })
                    .sum();
                sum / total
            })
            .collect()
    };
    pass(&pass(plane, true), false)
}
