//! Seams: whether one can see where pieces meet that were made apart.
//!
//! Three kinds, each as a ratio that is 1 where nothing is seen:
//!
//! - *switches*, where neighbouring pixels show different plate frames: the gradient
//!   across them over what the plate has at the same places;
//! - *lines* in space, as borders of blocks and tiles are: the gradient across a whole
//!   column or row of neighbours, with what stands still of it beyond what the plate has
//!   (a step from tile to tile does, texture cancels out), over the plate's gradient
//!   there, against the lines beside it; where it is known that tiles meet at a line, a
//!   smaller one is told there than anywhere;
//! - *borders* in time, between blocks of frames: the step across, over the steps
//!   before and after it, at full detail and at [`COARSE`] pixels across, where a
//!   change of light or colour shows that the motion hides.

use super::encoded::Encoded;
use super::profile::mean;
use crate::engine::TileBorders;

/// Width of the pictures in which changes of light are looked for.
const COARSE: usize = 16;
/// Lines that one is held against, on each side: not the next one, since a seam in a
/// reduced picture lies in two of them.
const BESIDE: [usize; 2] = [2, 3];
/// How many times the usual spread a line must stand out by to be called a seam.
const STANDS_OUT: f64 = 7.0;
/// The same where it is known that tiles meet there: of a few lines, not of all. Of the 838
/// of a stream's second half against its first, one stands out by four times, none by five.
const KNOWN_STANDS_OUT: f64 = 5.0;
/// Parts of a pixel that count for nothing where a line lies beside a whole one.
const SLACK: f64 = 1e-6;
/// A part of the plate's mean gradient that every line is credited with, so that a
/// still sky is not called seamed for its noise.
const FLOOR: f64 = 0.1;
/// Steps on each side of a border in time that it is held against.
const AROUND: usize = 4;

/// Where pieces of a sequence meet that were made apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Borders {
    /// Numbers of the frames that begin a block of frames.
    pub frames: Vec<i32>,
    /// Lines at which tiles meet, by the column of the sequence's picture behind each;
    /// within a column where tiles are of pictures of another size.
    pub columns: Vec<f64>,
    /// The same of rows.
    pub rows: Vec<f64>,
}

impl Borders {
    /// Adds where tiles meet, in pictures of `width` and `height`.
    pub fn add(&mut self, tiles: &TileBorders, [width, height]: [usize; 2]) {
        let on = |parts: &[f64], length: usize| -> Vec<f64> {
            parts.iter().map(|part| part * length as f64).collect()
        };
        self.columns.extend(on(&tiles.columns, width));
        self.rows.extend(on(&tiles.rows, height));
    }
}

/// The differences across a line of neighbours, summed over the line and over frames:
/// how large they are, and what of them does not cancel out.
#[derive(Clone, Copy, Debug, Default)]
struct Across {
    gradient: f64,
    signed: f64,
}

impl Across {
    fn add(&mut self, from: f32, to: f32) {
        let d = f64::from(to - from);
        self.gradient += d.abs();
        self.signed += d;
    }
}

/// Differences across each column and each row of neighbours.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    columns: Vec<Across>,
    rows: Vec<Across>,
    frames: usize,
}

impl Lines {
    pub(super) fn push(&mut self, frame: &Encoded) {
        let (w, luma) = (frame.width.max(1), frame.luma());
        let none = Across::default();
        self.columns.resize(w - 1, none);
        self.rows.resize(frame.height.saturating_sub(1), none);
        for row in luma.chunks_exact(w) {
            for (across, p) in self.columns.iter_mut().zip(row.windows(2)) {
                across.add(p[0], p[1]);
            }
        }
        let pairs = luma.chunks_exact(w).zip(luma.chunks_exact(w).skip(1));
        for (across, (row, below)) in self.rows.iter_mut().zip(pairs) {
            row.iter().zip(below).for_each(|(a, b)| across.add(*a, *b));
        }
        self.frames += 1;
    }
}

/// Parts of a sequence in which a line that nobody knows of must stand out, each by itself,
/// half as far as in all of it, and frames that a part has at least.
const PARTS: (usize, usize) = (4, 24);

/// The lines of a sequence, part by part.
#[derive(Clone, Debug)]
pub(super) struct LinesInTime {
    per: usize,
    parts: Vec<Lines>,
}

impl LinesInTime {
    /// Of a sequence of which `frames` frames count.
    pub(super) fn new(frames: usize) -> Self {
        let parts = (frames / PARTS.1).clamp(1, PARTS.0);
        Self {
            per: frames.div_ceil(parts).max(1),
            parts: Vec::new(),
        }
    }

    /// The next frame that counts.
    pub(super) fn push(&mut self, frame: &Encoded) {
        if self.parts.last().is_none_or(|p| p.frames >= self.per) {
            self.parts.push(Lines::default());
        }
        if let Some(last) = self.parts.last_mut() {
            last.push(frame);
        }
    }

    fn all(&self) -> Lines {
        let mut all = self.parts.first().cloned().unwrap_or_default();
        for part in self.parts.iter().skip(1) {
            let sides = [
                (&mut all.columns, &part.columns),
                (&mut all.rows, &part.rows),
            ];
            for (sum, part) in sides {
                for (sum, part) in sum.iter_mut().zip(part) {
                    sum.gradient += part.gradient;
                    sum.signed += part.signed;
                }
            }
            all.frames += part.frames;
        }
        all
    }
}

/// Stretches of a plate that are told apart where a sequence shows some of it more
/// often than the rest.
const STRETCHES: usize = 128;

/// The lines of a plate, stretch by stretch, and how often a sequence shows each: of a
/// plate that changes one way (a bud that opens) a sequence may dwell on an end, where
/// edges stand elsewhere than in the mean of all.
#[derive(Clone, Debug)]
pub(super) struct PlateLines {
    /// Frames of a stretch.
    per: usize,
    frames: usize,
    stretches: Vec<Lines>,
    /// For each stretch how many pixels of each line show it, columns and rows.
    shown: Vec<[Vec<u64>; 2]>,
}

impl PlateLines {
    /// For a plate of `frames` frames.
    pub(super) fn new(frames: usize) -> Self {
        Self {
            per: frames.div_ceil(STRETCHES).max(1),
            frames: 0,
            stretches: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// The next frame of the plate.
    pub(super) fn push(&mut self, frame: &Encoded) {
        if self.frames.is_multiple_of(self.per) {
            self.stretches.push(Lines::default());
        }
        if let Some(last) = self.stretches.last_mut() {
            last.push(frame);
        }
        self.frames += 1;
    }

    /// A frame of the sequence, `width` pixels across, shows these plate frames: an
    /// index for each pixel, row by row.
    pub(super) fn show(&mut self, source: &[i32], width: usize) {
        let width = width.max(1);
        let none = || [vec![0; width], vec![0; source.len() / width]];
        self.shown.resize_with(self.stretches.len(), none);
        let last = self.stretches.len().saturating_sub(1);
        for (y, row) in source.chunks_exact(width).enumerate() {
            for (x, index) in row.iter().enumerate() {
                let stretch = ((*index).max(0) as usize / self.per).min(last);
                if let Some([columns, rows]) = self.shown.get_mut(stretch) {
                    columns[x] += 1;
                    rows[y] += 1;
                }
            }
        }
    }

    /// What the lines of the frames that were shown have in the mean, each line of
    /// those that it shows; of all frames where it is not known.
    fn mean(&self) -> Lines {
        let of = |pick: &dyn Fn(&Lines) -> &[Across], side: usize| -> Vec<Across> {
            let count = self.stretches.first().map_or(0, |l| pick(l).len());
            let line = |i: usize| {
                let (mut sum, mut weights) = (Across::default(), 0.0);
                for (k, stretch) in self.stretches.iter().enumerate() {
                    let shown = self.shown.get(k).and_then(|s| s[side].get(i));
                    let frames = stretch.frames.max(1) as f64;
                    let weight = match self.shown.is_empty() {
                        true => frames,
                        false => shown.map_or(0.0, |n| *n as f64),
                    };
                    sum.gradient += weight / frames * pick(stretch)[i].gradient;
                    sum.signed += weight / frames * pick(stretch)[i].signed;
                    weights += weight;
                }
                let weights = f64::max(weights, 1.0);
                Across {
                    gradient: sum.gradient / weights,
                    signed: sum.signed / weights,
                }
            };
            (0..count).map(line).collect()
        };
        Lines {
            columns: of(&|l| &l.columns, 0),
            rows: of(&|l| &l.rows, 1),
            frames: usize::from(self.frames > 0),
        }
    }
}

/// Lines of a sequence against those of its plate: for each, what it has more than
/// the lines beside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seams {
    pub(super) columns: Vec<f64>,
    pub(super) rows: Vec<f64>,
    /// The same of what does not cancel out over lines side by side.
    firm: [Vec<f64>; 2],
    /// The least of both in any part of the sequence: an edge that is lit otherwise for a
    /// while is no seam.
    lasting: [Vec<f64>; 2],
}

/// A line that stands out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WorstLine {
    pub(super) ratio: f64,
    /// As `column 640` or `row 12`, of the full-size picture.
    pub(super) at: String,
}

impl Seams {
    pub(super) fn of(output: &LinesInTime, plate: &PlateLines) -> Option<Self> {
        let plate = plate.mean();
        let whole = Self::of_lines(&output.all(), &plate)?;
        let least = |a: Vec<f64>, b: &[f64]| -> Vec<f64> {
            a.iter().zip(b).map(|(a, b)| a.min(*b)).collect()
        };
        let parts = output.parts.iter();
        let parts = parts.filter_map(|part| Self::of_lines(part, &plate));
        let lasting = parts.fold(whole.firm.clone(), |[columns, rows], part| {
            [
                least(least(columns, &part.columns), &part.firm[0]),
                least(least(rows, &part.rows), &part.firm[1]),
            ]
        });
        Some(Self { lasting, ..whole })
    }

    fn of_lines(output: &Lines, plate: &Lines) -> Option<Self> {
        let both = output.frames > 0 && plate.frames > 0;
        both.then(|| {
            let over = |a: &[Across], b: &[Across], what: Taken| {
                let frames = (output.frames as f64, plate.frames as f64);
                beside(&ratios((a, frames.0), (b, frames.1), what))
            };
            let of = |what| {
                [
                    over(&output.columns, &plate.columns, what),
                    over(&output.rows, &plate.rows, what),
                ]
            };
            let [columns, rows] = of(alone);
            Self {
                columns,
                rows,
                firm: of(stands),
                lasting: Default::default(),
            }
        })
    }

    /// The line that stands out most, of a picture reduced by `factor`, if one does more
    /// than lines do by chance.
    pub(super) fn worst(&self, factor: usize) -> Option<WorstLine> {
        let all = [&self.columns, &self.rows].map(|lines| (0..lines.len()).collect());
        self.standing_out(all, Some(&self.lasting), STANDS_OUT, factor)
    }

    /// Of the borders of tiles that are known, in a picture reduced by `factor`: the
    /// mean, and the line that stands out most, if one does more than lines do by chance.
    pub(super) fn at(&self, borders: &Borders, factor: usize) -> Option<(f64, Option<WorstLine>)> {
        let sides = [
            (&self.columns, &borders.columns),
            (&self.rows, &borders.rows),
        ];
        // Within a pixel, and reduced, a border shows on both sides of it.
        let near = |at: f64| {
            let at = at / factor as f64;
            let whole = |line: f64| (line as usize).checked_sub(1);
            [whole((at + SLACK).floor()), whole((at - SLACK).ceil())]
        };
        let places = sides.map(|(lines, at)| {
            let all = at.iter().map(|at| near(*at));
            let there = all.map(|near| near.into_iter().flatten().filter(|i| *i < lines.len()));
            there.map(Iterator::collect).collect::<Vec<Vec<usize>>>()
        });
        let each = sides.iter().zip(&places).flat_map(|((lines, _), places)| {
            let of = |place: &Vec<usize>| place.iter().map(|i| lines[*i]).reduce(f64::max);
            places.iter().filter_map(of).collect::<Vec<_>>()
        });
        let each: Vec<f64> = each.collect();
        let lines = places.map(|places| places.concat());
        (!each.is_empty()).then(|| {
            let worst = self.standing_out(lines, None, KNOWN_STANDS_OUT, factor);
            (mean(each.into_iter()), worst)
        })
    }

    /// Of the columns and rows `lines` the one that stands out most, if it does by more
    /// than `times` what lines usually do.
    fn standing_out(
        &self,
        lines: [Vec<usize>; 2],
        lasting: Option<&[Vec<f64>; 2]>,
        times: f64,
        factor: usize,
    ) -> Option<WorstLine> {
        let sides = [("column", &self.columns), ("row", &self.rows)];
        let sides = sides.into_iter().zip(&self.firm).zip(lines).enumerate();
        let all = sides.flat_map(|(side, (((name, ratios), firm), lines))| {
            let far = times * spread(ratios);
            let lasts = move |i: usize| {
                let least = lasting.and_then(|l| l[side].get(i));
                least.is_none_or(|least| *least > 1.0 + 0.5 * far)
            };
            let ratio = move |i: usize| Some((ratios.get(i)?.min(*firm.get(i)?), name, i));
            let found = lines.into_iter().filter_map(ratio);
            found.filter(move |(ratio, _, i)| *ratio > 1.0 + far && lasts(*i))
        });
        let worst = all.max_by(|a, b| a.0.total_cmp(&b.0));
        worst.map(|(ratio, name, i)| WorstLine {
            ratio,
            at: format!("{name} {}", (i + 1) * factor),
        })
    }
}

/// What is taken of a line's difference from the plate, of those of all lines.
type Taken = fn(&[f64], usize) -> f64;

/// `a` over `b`, line by line, of so many frames each: the gradient and what stands
/// still of it beyond what the plate has, over the plate's gradient.
fn ratios((a, m): (&[Across], f64), (b, n): (&[Across], f64), what: Taken) -> Vec<f64> {
    let floor = FLOOR * mean(b.iter().map(|v| v.gradient / n)) + 1e-9;
    let more = |of: fn(&Across) -> f64| -> Vec<f64> {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| of(a) / m - of(b) / n).collect()
    };
    let (gradient, signed) = (more(|l| l.gradient), more(|l| l.signed));
    let own = b.iter().map(|b| b.gradient / n + floor).enumerate();
    own.take(gradient.len())
        .map(|(i, own)| (own + what(&gradient, i) + what(&signed, i).abs()) / own)
        .collect()
}

/// The difference of line `i` from the plate.
fn alone(of: &[f64], i: usize) -> f64 {
    of[i]
}

/// What of it remains however many of the lines beside it are taken with it. Of a pole
/// that stands a part of a pixel beside its place nothing does.
fn stands(of: &[f64], i: usize) -> f64 {
    let sum = |reach: usize| -> f64 {
        let beside = i.saturating_sub(reach)..(i + reach + 1).min(of.len());
        of[beside].iter().sum::<f64>() * of[i].signum()
    };
    let sums = (0..=BESIDE[1]).map(sum);
    sums.fold(f64::MAX, f64::min).max(0.0) * of[i].signum()
}

/// Each of `values` over those beside it (the mean of the middle two); 1 at the edges,
/// where there are none on one side.
fn beside(values: &[f64]) -> Vec<f64> {
    let of = |i: usize| -> Option<f64> {
        let mut beside = Vec::with_capacity(2 * BESIDE.len());
        for k in BESIDE {
            beside.push(*values.get(i.checked_sub(k)?)?);
            beside.push(*values.get(i + k)?);
        }
        beside.sort_by(f64::total_cmp);
        let middle = 0.5 * (beside[1] + beside[2]);
        Some(values[i] / middle.max(1e-12))
    };
    (0..values.len()).map(|i| of(i).unwrap_or(1.0)).collect()
}

/// How far `ratios` usually are from 1: their median distance, as the deviation of a
/// normal distribution has it.
fn spread(ratios: &[f64]) -> f64 {
    let mut apart: Vec<f64> = ratios.iter().map(|r| (r - 1.0).abs()).collect();
    apart.sort_by(f64::total_cmp);
    1.4826 * apart.get(apart.len() / 2).copied().unwrap_or(0.0)
}

/// Steps between the frames of a sequence, coarse ones kept here and fine ones
/// elsewhere.
#[derive(Default)]
pub(super) struct Steps {
    last: Option<Encoded>,
    coarse: Vec<f64>,
}

impl Steps {
    pub(super) fn push(&mut self, frame: &Encoded) {
        let small = frame.reduced(COARSE);
        if let Some(last) = &self.last {
            self.coarse.push(last.step(&small));
        }
        self.last = Some(small);
    }

    /// For each border in time between made frames: the index of the frame that
    /// begins the block, and the step to it over those around it, the larger of the
    /// fine one (of `fine`) and the coarse one. `first` is the number of the first
    /// frame.
    pub(super) fn at(
        &self,
        fine: &[f64],
        borders: &Borders,
        first: i32,
        made: &[bool],
    ) -> Vec<(usize, f64)> {
        let is_made = |i: usize| made.get(i).copied().unwrap_or(false);
        let counts = |s: usize| is_made(s) && is_made(s + 1);
        let begins: Vec<usize> = borders
            .frames
            .iter()
            .filter_map(|f| usize::try_from(i64::from(*f) - i64::from(first)).ok())
            .filter(|&i| i > 0 && counts(i - 1))
            .collect();
        let over = |steps: &[f64], begin: usize| -> Option<f64> {
            let own = begin - 1;
            let around = own.saturating_sub(AROUND)..(own + AROUND + 1).min(steps.len());
            let others = around.filter(|&s| s != own && counts(s) && !begins.contains(&(s + 1)));
            let others: Vec<f64> = others.map(|s| steps[s]).collect();
            let unit = mean(others.iter().copied());
            (unit > 1e-9)
                .then(|| steps.get(own).map(|s| s / unit))
                .flatten()
        };
        let found = begins.iter().filter_map(|&begin| {
            let both = [over(fine, begin), over(&self.coarse, begin)];
            let most = both.into_iter().flatten().reduce(f64::max)?;
            Some((begin, most))
        });
        found.collect()
    }
}
