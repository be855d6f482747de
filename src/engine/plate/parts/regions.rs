//! Regions of the picture that are kept whole: where each is in every frame of the
//! plate, on a grid, and which cells must therefore change clip at one moment.

use std::path::Path;

use super::mattes::{Mattes, Sight};
use crate::device::Task;
use crate::engine::EngineError;
use crate::engine::plate::analysis::Analysis;
use crate::engine::plate::camera::Pose;
use crate::engine::plate::cells::occupied;
use crate::engine::plate::playing::Playing;
use crate::frame::FrameRange;

/// Rows and columns of the grid of the edit list that a region is grown by. Switch
/// times are drawn between cells after a blur that reaches three cells, so within
/// the region itself they are then one.
pub(in crate::engine::plate) const GROW: usize = 4;

/// Where something is in each frame of a plate, on a grid.
#[derive(Clone, Debug)]
pub(in crate::engine::plate) struct Mask {
    /// One for each plate frame; a single one holds still.
    frames: Vec<Vec<bool>>,
}

impl Mask {
    /// A mask of its own frames, of which a single one holds still.
    pub(in crate::engine::plate) fn of(frames: Vec<Vec<bool>>) -> Self {
        Self { frames }
    }

    /// The cells at plate index `frame`; none where the plate has no such frame.
    pub(in crate::engine::plate) fn at(&self, frame: i32) -> Option<&[bool]> {
        let i = match self.frames.len() {
            1 => 0,
            _ => usize::try_from(frame).ok()?,
        };
        self.frames.get(i).map(Vec::as_slice)
    }

    /// Whether it holds still.
    pub(in crate::engine::plate) fn is_still(&self) -> bool {
        self.frames.len() == 1
    }

    /// Whether it is empty in all frames.
    pub(in crate::engine::plate) fn is_empty(&self) -> bool {
        !self.frames.iter().any(|f| f.contains(&true))
    }

    /// The cells that it has in any frame.
    pub(in crate::engine::plate) fn ever(&self) -> Vec<bool> {
        let mut ever = self.frames.first().cloned().unwrap_or_default();
        for frame in &self.frames {
            ever.iter_mut().zip(frame).for_each(|(e, f)| *e |= f);
        }
        ever
    }

    /// Those of `cells` cells that it has at the output indices `[from, to]` of the
    /// clip at `offset`.
    pub(in crate::engine::plate) fn over(
        &self,
        from: usize,
        to: usize,
        offset: i32,
        cells: usize,
    ) -> Vec<bool> {
        let mut set = vec![false; cells];
        for t in from..=to {
            if let Some(frame) = self.at(t as i32 + offset) {
                set.iter_mut().zip(frame).for_each(|(s, f)| *s |= f);
            }
            if self.is_still() {
                break;
            }
        }
        set
    }

    /// The same, `reach` rows and columns larger.
    pub(in crate::engine::plate) fn grown(&self, cols: usize, rows: usize, reach: usize) -> Self {
        let grown = |f: &Vec<bool>| grown(f, cols, rows, reach);
        Self {
            frames: self.frames.iter().map(grown).collect(),
        }
    }
}

/// Where the matte `path` is, numbered as the plate is, on each of `grids` (columns
/// and rows): in the plate frames `plate` as they are, or steadied where `poses` has
/// any.
///
/// # Errors
/// Where the matte cannot be read, or is empty.
pub(in crate::engine::plate) fn read(
    (path, mattes): (&Path, &Mattes),
    (analysis, poses): (&Analysis, &[Pose]),
    plate: FrameRange,
    grids: &[(usize, usize)],
    task: Task<'_>,
) -> Result<Vec<Mask>, EngineError> {
    let still = mattes.is_still(path)? && poses.is_empty();
    let sight = Sight {
        info: &analysis.info,
        first: analysis.info.range.first,
        poses,
        from: Pose::REST,
    };
    let count = if still { 1 } else { plate.count() };
    let mut masks = vec![Mask { frames: Vec::new() }; grids.len()];
    for frame in plate.iter().take(count) {
        task.step(
            "Reading the mattes",
            (frame - plate.first).max(0) as usize,
            count,
        )?;
        let matte = mattes.read(path, frame, sight)?;
        for (mask, &(cols, rows)) in masks.iter_mut().zip(grids) {
            mask.frames.push(occupied(&matte, cols, rows));
        }
    }
    if masks.iter().any(Mask::is_empty) {
        return Err(EngineError::Request(format!(
            "the matte {} covers nothing: give one that is above 0 where the region is",
            path.display()
        )));
    }
    Ok(masks)
}

/// The cells that must change clip at one moment, if a change to the clip at
/// `offset` begins at output index `at` and what it leaves mixed lasts `frames`
/// frames: each of `masks` where it is in the clip that it plays and where it will
/// be in the one that begins. Regions that meet are one.
pub(in crate::engine::plate) fn groups(
    masks: &[Mask],
    playing: &Playing,
    at: usize,
    offset: i32,
    frames: usize,
) -> Vec<Vec<u32>> {
    let mut sets: Vec<Vec<bool>> = Vec::new();
    for mask in masks {
        let mut set = vec![false; playing.at(at).len()];
        for t in at..=at + frames {
            let now = playing.at(t);
            let shown = (0..now.len()).find_map(|c| {
                let index = t as i32 + now[c];
                mask.at(index).filter(|m| m[c]).map(|_| index)
            });
            for index in shown.into_iter().chain([t as i32 + offset]) {
                if let Some(cells) = mask.at(index) {
                    set.iter_mut().zip(cells).for_each(|(s, m)| *s |= m);
                }
            }
            if mask.is_still() {
                break;
            }
        }
        // One with those that it meets.
        let (meet, apart): (Vec<_>, Vec<_>) = sets
            .into_iter()
            .partition(|other| other.iter().zip(&set).any(|(a, b)| *a && *b));
        for other in meet {
            set.iter_mut().zip(other).for_each(|(s, o)| *s |= o);
        }
        sets = apart;
        sets.push(set);
    }
    sets.into_iter()
        .map(|set| {
            let cells = set.iter().enumerate().filter(|(_, s)| **s);
            cells.map(|(c, _)| c as u32).collect()
        })
        .filter(|group: &Vec<u32>| group.len() > 1)
        .collect()
}

/// Cells within `reach` rows and columns of a set of cells.
pub(in crate::engine::plate) fn grown(
    cells: &[bool],
    cols: usize,
    rows: usize,
    reach: usize,
) -> Vec<bool> {
    let mut across = vec![false; cells.len()];
    for y in 0..rows {
        for x in 0..cols {
            let (a, b) = (x.saturating_sub(reach), (x + reach).min(cols - 1));
            across[y * cols + x] = (a..=b).any(|x| cells[y * cols + x]);
        }
    }
    let mut out = vec![false; cells.len()];
    for y in 0..rows {
        for x in 0..cols {
            let (a, b) = (y.saturating_sub(reach), (y + reach).min(rows - 1));
            out[y * cols + x] = (a..=b).any(|y| across[y * cols + x]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_changes_where_it_is_in_either_clip() {
        // A cell that goes one column right each frame, of eight.
        let mask = Mask::of((0..8).map(|t| (0..8).map(|c| c == t).collect()).collect());
        let playing = Playing::new(8, 0);
        let found = groups(std::slice::from_ref(&mask), &playing, 1, 4, 1);
        assert_eq!(found, [vec![1, 2, 5, 6]]);
        // With another that meets it, and one that does not.
        let still = |c: usize| Mask::of(vec![(0..8).map(|i| i == c || i == c + 1).collect()]);
        let found = groups(&[mask, still(6), still(3)], &playing, 1, 4, 1);
        assert_eq!(found, [vec![1, 2, 5, 6, 7], vec![3, 4]]);
    }

    #[test]
    fn growth_is_square_and_ends_at_the_border() {
        let mut cells = vec![false; 20];
        cells[0] = true;
        let out = grown(&cells, 5, 4, 1);
        let set: Vec<usize> = (0..20).filter(|c| out[*c]).collect();
        assert_eq!(set, [0, 1, 5, 6]);
    }
}
