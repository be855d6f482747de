//! The page's measures that have limits, a line each.

use super::Report;
use super::album::{FAINT, PAPER};
use super::raster::{Colour, LETTER, LINE, Raster, lines_of, width_of};

const BAD: Colour = [255, 90, 90];
const GOOD: Colour = [120, 220, 130];
const HEAD: &str = "measure              value   at least   at most   plate's own   what is seen beyond its limits";
/// Letters between the figures and what they mean.
const GAP: usize = 3;
/// What is made of that in a line is no narrower.
const LEAST: usize = 20 * LETTER;

/// What a measure came to, and the lines of what is seen where it fails.
struct Row {
    figures: String,
    meaning: Vec<String>,
    /// Where these begin: from the left, and lines below the figures.
    at: (usize, usize),
    means: Colour,
    colour: Colour,
}

impl Row {
    fn height(&self) -> i32 {
        (self.at.1 + self.meaning.len()).max(1) as i32 * LINE
    }
}

/// The verdicts on a picture `width` pixels wide.
pub(super) fn of(report: &Report, width: usize) -> Raster {
    if report.verdicts.is_empty() {
        let mut out = Raster::new(width, LINE as usize, PAPER);
        out.text(0, 0, "no plate was given to measure against", FAINT);
        return out;
    }
    let rows = rows(report, width);
    let missing = report.missing.iter();
    let missing: Vec<String> = missing
        .flat_map(|m| lines_of(&m.to_string(), width))
        .collect();
    let height = LINE + 2 + rows.iter().map(Row::height).sum::<i32>() + missing.len() as i32 * LINE;
    let mut out = Raster::new(width, height as usize, PAPER);
    out.text(0, 0, HEAD, FAINT);
    let mut y = LINE + 2;
    for row in &rows {
        out.text(0, y, &row.figures, row.colour);
        let (x, below) = (row.at.0 as i32, row.at.1 as i32 * LINE);
        out.lines(x, y + below, &row.meaning, row.means);
        y += row.height();
    }
    out.lines(0, y, &missing, FAINT);
    out
}

fn rows(report: &Report, width: usize) -> Vec<Row> {
    let limit = |l: Option<f64>| l.map_or("-".to_owned(), |l| number(l, 3));
    let row = |v: &super::Verdict| {
        let figures = format!(
            "{:<18}{:>8}{:>11}{:>10}{:>14}",
            v.measure,
            v.figure(),
            limit(v.at_least),
            limit(v.at_most),
            limit(report.referred(v)),
        );
        let beside = width_of(&figures) + GAP * LETTER;
        let at = match width.saturating_sub(beside) {
            LEAST.. => (beside, 0),
            _ => (GAP * LETTER, 1),
        };
        Row {
            meaning: lines_of(v.meaning, width.saturating_sub(at.0)),
            at,
            means: if v.pass { FAINT } else { BAD },
            colour: if v.pass { GOOD } else { BAD },
            figures,
        }
    };
    report.verdicts.iter().map(row).collect()
}

/// `v` with so many places after the point; one that would not fit its column in powers
/// of ten.
pub(super) fn number(v: f64, places: usize) -> String {
    match v.abs() < 9_999.5 {
        true => format!("{v:.places$}"),
        false => format!("{v:.1e}"),
    }
}
