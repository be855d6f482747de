//! Parts of pictures, and the tiles that make one up.

use std::ops::Range;

use super::Tiling;
use crate::device::ops::FeatureMap;

/// Part of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Area {
    pub(super) fn each(&self, f: impl Fn(&Range<usize>) -> Range<usize>) -> Self {
        Self {
            rows: f(&self.rows),
            columns: f(&self.columns),
        }
    }

    /// The same with `by` positions more on each side, or one more to begin at an even
    /// one (a convolution makes two outputs by two), within a picture of `height` × `width`.
    pub(super) fn widened(&self, by: usize, (height, width): (usize, usize)) -> Self {
        let widen = |r: &Range<usize>, most: usize| {
            let end = (r.end + by).min(most);
            (r.start.saturating_sub(by) & !1).min(end)..end
        };
        Self {
            rows: widen(&self.rows, height),
            columns: widen(&self.columns, width),
        }
    }

    /// `of`, which is all that lies in `self`, without what lies outside `part`.
    pub(super) fn crop(&self, of: FeatureMap, part: &Self) -> FeatureMap {
        if self == part {
            return of;
        }
        let from =
            |all: &Range<usize>, part: &Range<usize>| part.start - all.start..part.end - all.start;
        of.crop(
            from(&self.rows, &part.rows),
            from(&self.columns, &part.columns),
        )
    }
}

/// Tiles of about the same size that make up `height` × `width` latents.
pub(super) fn tiles(tiling: Tiling, height: usize, width: usize) -> Vec<Area> {
    let cut = |size: usize| {
        let most = match tiling {
            Tiling::Whole => size,
            Tiling::Latents(most) => most.max(1),
        };
        let count = size.div_ceil(most).max(1);
        (0..count)
            .map(|i| size * i / count..size * (i + 1) / count)
            .collect::<Vec<_>>()
    };
    let columns = cut(width);
    cut(height)
        .into_iter()
        .flat_map(|rows| {
            columns.iter().map(move |columns| Area {
                rows: rows.clone(),
                columns: columns.clone(),
            })
        })
        .collect()
}
