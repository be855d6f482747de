//! The measures on sequences whose answers are known.

use std::sync::Arc;

use super::*;
use crate::device::Task;
use crate::frame::{FrameRange, Picture, Transfer};
use crate::sampler::Philox;

mod frames;
mod pieces;
mod seams;
mod shown;

const W: usize = 96;
const H: usize = 64;

struct Clip {
    info: PlateInfo,
    frames: Vec<Picture>,
}

impl Clip {
    fn new(frames: Vec<Picture>) -> Self {
        Self {
            info: PlateInfo {
                range: FrameRange::new(1, frames.len() as i32).unwrap(),
                width: frames[0].width(),
                height: frames[0].height(),
                full_size: (frames[0].width(), frames[0].height()),
                channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
                fps: 12.0,
                transfer: Transfer::Display,
                pixel_aspect: 1.0,
                ids: Vec::new(),
            },
            frames,
        }
    }

    /// A texture of many waves that run on: no two times are alike, every
    /// place moves, and the step from frame to frame is nearly constant.
    fn waves(count: usize) -> Self {
        let mut rng = Philox::new(7, [0, 0, 0]);
        let waves: Vec<[f64; 5]> = (0..24)
            .map(|_| {
                [
                    rng.normal() * 0.35,
                    rng.normal() * 0.35,
                    0.25 + 0.5 * rng.uniform(),
                    rng.uniform() * std::f64::consts::TAU,
                    rng.uniform(),
                ]
            })
            .collect();
        let frames = (0..count)
            .map(|t| {
                let mut data = Vec::with_capacity(W * H * 3);
                for y in 0..H {
                    for x in 0..W {
                        let mut v = [0.5f64; 3];
                        for [kx, ky, speed, phase, hue] in &waves {
                            let a =
                                (kx * x as f64 + ky * y as f64 + speed * t as f64 + phase).sin();
                            v[0] += 0.04 * a;
                            v[1] += 0.04 * a * hue;
                            v[2] += 0.04 * a * (1.0 - hue);
                        }
                        data.extend(v.map(|v| v as f32));
                    }
                }
                Picture::from_data(W, H, 3, data).unwrap()
            })
            .collect();
        Self::new(frames)
    }

    /// Frame `index` of the output shows plate frame `source(index)`.
    fn retimed(&self, sources: &[usize]) -> Self {
        Self::new(sources.iter().map(|&s| self.frames[s].clone()).collect())
    }
}

impl PlateReader for Clip {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        Ok(Arc::new(self.frames[(frame - 1) as usize].clone()))
    }
}

fn measure(
    output: &mut Clip,
    plate: &mut Clip,
    keep: i32,
    closed: bool,
    source: Option<SourceMap<'_>>,
) -> Report {
    let task = Task::quiet();
    report(
        &mut Subject {
            output,
            plate: Some(plate),
            matte: None,
            stored: None,
            kept: &|f| (f <= keep).then_some(f),
            closed,
            source,
            camera: None,
            exposure: None,
            borders: Borders::default(),
            missing: Vec::new(),
        },
        task,
    )
    .unwrap()
}

/// The whole frame shows one plate index, frame by frame.
fn whole(sources: &[usize]) -> impl Fn(i32, usize, usize) -> Vec<i32> + '_ {
    |frame, w, h| vec![sources[(frame - 1) as usize] as i32; w * h]
}

fn near(value: Option<f64>, expected: f64, tolerance: f64) {
    let value = value.expect("the measure applies");
    assert!(
        (value - expected).abs() <= tolerance,
        "{value} is not {expected} ± {tolerance}"
    );
}
