//! The printed table: a row for each sequence, its columns beside their limits.

use longtake::sequence::report::Measures;
use serde::Serialize;

/// A row.
#[derive(Clone, Serialize)]
pub struct Row {
    pub plate: String,
    pub method: String,
    pub seed: u64,
    pub measures: Measures,
    pub seconds_per_megapixel: f64,
    /// Whether the camera moves, which excuses the deviation in time.
    pub camera_moves: bool,
    /// The copied share that novelty is held to, where one is known.
    pub copy_at_most: Option<f64>,
}

const COLUMNS: [&str; 14] = [
    "diff", "sharp", "t-std", "worst", "least", "join", "luma", "spur", "spur mx", "ghost",
    "unexpl", "copy", "jump", "s/Mpx",
];

/// The heads of the columns and the limits beneath them.
pub fn head() -> String {
    let names: String = COLUMNS.iter().map(|c| format!("{c:>9}")).collect();
    let limits: String = [
        ".9-1.1", ">=.97", ">=.90", "<=1.05p", ">=.95p", "<=1.15", ".99-1.01", "<=.40", "-",
        "<=20", "-", "<=.75gc", "-", "-",
    ]
    .iter()
    .map(|c| format!("{c:>9}"))
    .collect();
    format!(
        "{:<34}{names}\n{:<34}{limits}",
        "", "limit (p the plate's, gc the cut's)"
    )
}

impl Row {
    /// The values of the columns and whether they pass, `None` where there is
    /// no limit or no value.
    pub fn cells(&self) -> Vec<(Option<f64>, Option<bool>)> {
        let m = &self.measures;
        let verdicts = m.verdicts();
        let cell = |name: &str, value: Option<f64>| {
            let pass = verdicts.iter().find(|v| v.measure == name).map(|v| v.pass);
            (value, pass)
        };
        let over = |a: Option<f64>, b: Option<f64>| Some(a? / b?.max(1e-9));
        let mut deviation = cell("deviation", m.deviation);
        if self.camera_moves {
            deviation.1 = None;
        }
        let kept = m.kept.is_none_or(|k| k == 0.0);
        let mut join = cell("join", m.join);
        join.1 = join.1.map(|p| p && kept);
        vec![
            cell("frame_difference", m.frame_difference),
            cell("sharpness", m.sharpness),
            deviation,
            (
                over(m.worst_step, m.plate_worst_step),
                cell("worst_step", m.worst_step).1,
            ),
            (
                over(m.smallest_step, m.plate_smallest_step),
                cell("smallest_step", m.smallest_step).1,
            ),
            join,
            cell("luma", m.luma),
            cell("spurious", m.spurious),
            (m.spurious_worst, None),
            cell("ghosts_worst", m.ghosts_worst),
            (m.unexplained_worst, None),
            (
                m.copy,
                self.copy_at_most.and_then(|limit| Some(m.copy? <= limit)),
            ),
            (m.jump, None),
            (Some(self.seconds_per_megapixel), None),
        ]
    }

    /// One line of the table; `!` marks what is over its limit.
    pub fn line(&self) -> String {
        let cells: String = self
            .cells()
            .iter()
            .map(|(value, pass)| {
                let mark = if *pass == Some(false) { '!' } else { ' ' };
                match value {
                    Some(v) if *v >= 100.0 => format!("{v:>8.0}{mark}"),
                    Some(v) => format!("{v:>8.3}{mark}"),
                    None => format!("{:>8}{mark}", "-"),
                }
            })
            .collect();
        format!(
            "{:<9}{:<21}{:>3} {cells}",
            self.plate, self.method, self.seed
        )
    }
}

/// The mean row of each method on a plate and overall counts of what fails.
pub fn summary(rows: &[Row]) -> String {
    let mut out = String::new();
    let mut keys: Vec<(String, String)> = Vec::new();
    for r in rows {
        let key = (r.plate.clone(), r.method.clone());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    for (plate, method) in &keys {
        let of: Vec<Vec<(Option<f64>, Option<bool>)>> = rows
            .iter()
            .filter(|r| r.plate == *plate && r.method == *method)
            .map(Row::cells)
            .collect();
        let mut line = format!("{plate:<9}{method:<21}    ");
        for c in 0..COLUMNS.len() {
            let values: Vec<f64> = of.iter().filter_map(|r| r[c].0).collect();
            let fails = of.iter().filter(|r| r[c].1 == Some(false)).count();
            let mark = match fails {
                0 => String::new(),
                n => format!("x{n}"),
            };
            let value = match values.iter().sum::<f64>() / values.len().max(1) as f64 {
                _ if values.is_empty() => "-".to_owned(),
                mean if mean >= 100.0 => format!("{mean:.0}"),
                mean => format!("{mean:.3}"),
            };
            line += &format!("{value:>7}{mark:<2}");
        }
        out += &line;
        out.push('\n');
    }
    out
}
