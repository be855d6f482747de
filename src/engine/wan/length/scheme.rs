//! A shot in pieces: groups of latent frames, tiles in which they are refined, runs in
//! which they are decoded.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::axis::Axis;
use super::enlarge::Scale;
use super::layout::Layout;
use crate::engine::wan::fit::Fit;
use crate::engine::wan::settings::Settings;
use crate::engine::wan::shot::Shot;
use crate::engine::wan::studio::Studio;
use crate::engine::wan::vae::VaeConfig;
use crate::engine::{Piece, Stage, TileBorders};

/// Latent frames that neighbouring tiles both have.
const SHARED: usize = 1;
/// Latent frames of a run at least.
const SHORTEST: usize = 4;
/// Bytes of a pixel while it is laid.
const LAID: usize = 12;
/// Levels of anchors have names; there are no more, since each divides the shot.
const LEVELS: [&str; 16] = [
    "anchors",
    "anchors 2",
    "anchors 3",
    "anchors 4",
    "anchors 5",
    "anchors 6",
    "anchors 7",
    "anchors 8",
    "anchors 9",
    "anchors 10",
    "anchors 11",
    "anchors 12",
    "anchors 13",
    "anchors 14",
    "anchors 15",
    "anchors 16",
];

/// A piece of a shot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Latent frames made at once.
    Group(usize),
    /// A part of the picture refined.
    Tile(usize),
    /// Frames decoded.
    Run(usize),
}

/// Tiles in which a shot is refined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// How the plate lies in the refined pictures.
    pub fit: Fit,
    /// Their latent frames.
    pub times: Axis,
    /// Their latent rows.
    pub rows: Axis,
    /// Their latent columns.
    pub columns: Axis,
    /// How rows and columns lie on those of the shot as it is made first.
    pub scales: [Scale; 2],
    /// Latents to each side over which the coarse is told from the fine.
    pub reach: usize,
}

impl Grid {
    /// Tiles.
    pub fn count(&self) -> usize {
        self.times.parts.len() * self.rows.parts.len() * self.columns.parts.len()
    }

    /// Which parts of the axes tile `tile` is.
    pub fn at(&self, tile: usize) -> [usize; 3] {
        let (rows, columns) = (self.rows.parts.len(), self.columns.parts.len());
        [
            tile / (rows * columns),
            tile / columns % rows,
            tile % columns,
        ]
    }

    /// The tiles that latent frames `latents` are made of.
    pub fn tiles_of(&self, latents: &Range<usize>) -> Range<usize> {
        let per = self.rows.parts.len() * self.columns.parts.len();
        let times = self.times.parts_of(latents);
        times.start * per..times.end * per
    }

    /// Where tiles meet in the frames, in which their latents are laid over one another
    /// and then their pixels, by the same weights. The picture is the plate's part of
    /// what is made: what lies in the rest of it is cut off.
    pub fn borders(&self) -> TileBorders {
        let of = |axis: &Axis, i: usize| {
            let latents = axis.parts.last().map_or(1, |p| p.end).max(1);
            let pixels = axis.clone().times(self.fit.canvas[i] / latents);
            let lines = pixels.borders().into_iter();
            let length = self.fit.content[i];
            let shown = lines.filter(|at| *at < length);
            shown.map(|at| at as f64 / length as f64).collect()
        };
        TileBorders {
            columns: of(&self.columns, 0),
            rows: of(&self.rows, 1),
        }
    }
}

/// A shot in pieces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheme {
    /// Which latent frames are made together.
    pub layout: Layout,
    /// In which tiles they are refined, if they are.
    pub grid: Option<Grid>,
    /// In which runs of latent frames they are decoded.
    pub runs: Axis,
    /// The first latent frame that each run looks back to. Decoded from there on, a
    /// run has the bits that it has when all is decoded.
    pub looks_back: Vec<usize>,
    /// How the plate lies in what is decoded.
    pub fit: Fit,
}

/// A take's shots in pieces.
pub struct Catalogue {
    /// For each level that is made the pieces of it, by shot.
    pub parts: Vec<Vec<(usize, Part)>>,
    /// The same as anybody may know it.
    pub stages: Vec<Stage>,
}

/// What a scheme depends on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// How the plate lies in the pictures that are made first.
    pub fit: Fit,
    /// How it lies in the refined ones, where there are any.
    pub refined: Option<Fit>,
    /// Pixels of a latent across and down.
    pub factor: usize,
    /// Latents of a token down and across.
    pub patch: [usize; 2],
}

impl Sizes {
    /// For a plate `shape` wide and high, in square pixels.
    pub fn new(studio: &Studio, settings: &Settings, shape: [f64; 2]) -> Self {
        let step = studio.step();
        let fit = Fit::of(shape, settings.size, step);
        let refined = settings.refine.map(|size| Fit::of(shape, size, step));
        let factor = studio.vae().spatial_factor();
        Self {
            fit,
            // Nothing is refined that does not become larger.
            refined: refined.filter(|r| r.content[0] > fit.content[0]),
            factor,
            patch: [step[1] / factor, step[0] / factor],
        }
    }
}

impl Scheme {
    /// The pieces of `shot`.
    pub fn new(shot: &Shot, settings: &Settings, sizes: &Sizes, vae: &VaeConfig) -> Self {
        let latents = shot.latents();
        let most = settings.latents_at_once();
        let layout = Layout::new(latents, most, settings.run());
        let grid = sizes.refined.map(|fit| grid(latents, most, fit, sizes));
        let fit = sizes.refined.unwrap_or(sizes.fit);
        // Decoding a run begins a little before it, so that long ones are cheaper; its
        // frames are held until all tiles are laid, in no more than decoding itself
        // works in.
        let size = |i: usize| sizes.fit.canvas[i] / sizes.factor;
        let working = vae.decoder_bytes([size(1), size(0)]);
        let frame = (fit.content[0] * fit.content[1] * LAID) as u64;
        let run = (working / (4 * frame).max(1)).min(most as u64) as usize;
        let runs = Axis::new(latents, run.clamp(SHORTEST.min(most), most), 0, 0);
        let looks_back = runs.parts.iter().map(|part| {
            let first = *Shot::of_latent(part.start).start();
            vae.decoder_starts(first).first().copied().unwrap_or(0)
        });
        Self {
            layout,
            grid,
            looks_back: looks_back.collect(),
            runs,
            fit,
        }
    }

    /// Whether its latents are made when the take is decided.
    pub fn is_decided(&self) -> bool {
        self.layout.is_single() && self.grid.is_none()
    }

    /// The latent frames that run `run` decodes, those that it looks back to included.
    pub fn decoded(&self, run: usize) -> Range<usize> {
        let part = self.runs.parts.get(run).cloned().unwrap_or(0..0);
        self.looks_back.get(run).copied().unwrap_or(0)..part.end
    }
}

fn grid(latents: usize, most: usize, fit: Fit, sizes: &Sizes) -> Grid {
    let scale = |i: usize| sizes.fit.content[i] as f64 / fit.content[i].max(1) as f64;
    let side = |fit: Fit, i: usize| fit.canvas[i] / sizes.factor;
    let reach = (1. / scale(0).min(scale(1))).ceil() as usize;
    let axis = |i: usize| {
        // In tokens: a tile has whole ones.
        let patch = sizes.patch[1 - i];
        let overlap = (2 * reach).div_ceil(patch) + 2;
        Axis::new(
            side(fit, i) / patch,
            side(sizes.fit, i) / patch,
            overlap,
            reach.div_ceil(patch),
        )
        .times(patch)
    };
    let on = |i: usize| Scale {
        length: side(sizes.fit, i),
        step: scale(i),
    };
    Grid {
        fit,
        times: Axis::new(latents, most, SHARED, 0),
        rows: axis(1),
        columns: axis(0),
        scales: [on(1), on(0)],
        reach,
    }
}

/// The pieces of `shots`, stage by stage, without those that are decided: anchors from
/// the coarse to the fine, fills, tiles, runs.
pub fn stages(shots: &[(Shot, Scheme)]) -> Catalogue {
    let all = || shots.iter().enumerate().filter(|(_, s)| !s.1.is_decided());
    let mut levels: Vec<(&'static str, Vec<(usize, Part)>)> = Vec::new();
    let groups = |wanted: &dyn Fn(usize, &Layout) -> bool| -> Vec<(usize, Part)> {
        let of_shot = |(i, (_, scheme)): (usize, &(Shot, Scheme))| {
            let layout = &scheme.layout;
            let chosen = (0..layout.groups.len()).filter(|g| wanted(*g, layout));
            chosen.map(|g| (i, Part::Group(g))).collect::<Vec<_>>()
        };
        all().flat_map(of_shot).collect()
    };
    for (level, name) in LEVELS.into_iter().enumerate() {
        levels.push((
            name,
            groups(&|g, layout| layout.groups[g].level == level && !layout.groups[g].is_fill()),
        ));
    }
    let fills = |(i, (_, scheme)): (usize, &(Shot, Scheme))| {
        let fills = scheme.layout.fills.clone();
        fills.into_iter().map(move |g| (i, Part::Group(g)))
    };
    levels.push(("fills", all().flat_map(fills).collect()));
    let tiles = |(i, (_, scheme)): (usize, &(Shot, Scheme))| {
        let count = scheme.grid.as_ref().map_or(0, Grid::count);
        (0..count).map(move |t| (i, Part::Tile(t)))
    };
    levels.push(("refinement", all().flat_map(tiles).collect()));
    let runs = |(i, (_, scheme)): (usize, &(Shot, Scheme))| {
        let count = scheme.runs.parts.len();
        (0..count).map(move |r| (i, Part::Run(r)))
    };
    levels.push(("decode", all().flat_map(runs).collect()));
    levels.retain(|(_, parts)| !parts.is_empty());

    let mut places = std::collections::HashMap::new();
    for (stage, (_, parts)) in levels.iter().enumerate() {
        for (number, (shot, part)) in parts.iter().enumerate() {
            places.insert((*shot, key(*part)), (stage, number));
        }
    }
    let decoded = |parts: &[(usize, Part)]| matches!(parts.first(), Some((_, Part::Run(_))));
    let refined = |parts: &[(usize, Part)]| matches!(parts.first(), Some((_, Part::Tile(_))));
    let mut tiles = TileBorders::default();
    for grid in all().filter_map(|(_, (_, scheme))| scheme.grid.as_ref()) {
        tiles.join(&grid.borders());
    }
    let found = levels.iter().map(|(name, parts)| Stage {
        name,
        with_frames: decoded(parts),
        // Frames are decoded in these tiles too.
        tiles: match refined(parts) {
            true => tiles.clone(),
            false => TileBorders::default(),
        },
        pieces: parts
            .iter()
            .filter_map(|(i, part)| {
                let (shot, scheme) = shots.get(*i)?;
                let (latents, needs) = of_part(scheme, *part);
                let needs = needs.into_iter();
                Some(Piece {
                    frames: frames(shot, &latents),
                    needs: needs
                        .filter_map(|n| places.get(&(*i, key(n))).copied())
                        .collect(),
                })
            })
            .collect(),
    });
    Catalogue {
        stages: found.collect(),
        parts: levels.into_iter().map(|(_, parts)| parts).collect(),
    }
}

fn key(part: Part) -> (u8, usize) {
    match part {
        Part::Group(i) => (0, i),
        Part::Tile(i) => (1, i),
        Part::Run(i) => (2, i),
    }
}

/// The latent frames that a piece bears on, and what it is made from.
fn of_part(scheme: &Scheme, part: Part) -> (Vec<usize>, Vec<Part>) {
    let layout = &scheme.layout;
    let fills = |latents: Range<usize>| {
        let fills = layout.fills_of(latents).iter();
        fills.map(|f| Part::Group(*f)).collect::<Vec<_>>()
    };
    match (part, &scheme.grid) {
        (Part::Group(group), _) => {
            let group = &layout.groups[group];
            let made = group.places[group.free()].to_vec();
            // A fill is heard where it joins its neighbours too.
            let made = if group.is_fill() {
                group.places.clone()
            } else {
                made
            };
            (made, group.needs().map(Part::Group).collect())
        }
        (Part::Tile(tile), Some(grid)) => {
            let [time, _, _] = grid.at(tile);
            let latents = grid.times.parts[time].clone();
            (latents.clone().collect(), fills(latents))
        }
        (Part::Tile(_), None) => (Vec::new(), Vec::new()),
        (Part::Run(run), grid) => {
            let needs = match grid {
                Some(grid) => grid
                    .tiles_of(&scheme.decoded(run))
                    .map(Part::Tile)
                    .collect(),
                None => fills(scheme.decoded(run)),
            };
            (scheme.runs.parts[run].clone().collect(), needs)
        }
    }
}

/// The output frames of `shot` that `latents` show.
fn frames(shot: &Shot, latents: &[usize]) -> Vec<i32> {
    let indices = latents.iter().flat_map(|l| Shot::of_latent(*l));
    let there = indices.filter(|i| *i < shot.frames.count());
    there
        .map(|i| shot.frame(i))
        .filter(|f| shot.made.contains(*f))
        .collect()
}
