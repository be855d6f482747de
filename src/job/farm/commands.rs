//! Commands for any queue: a shell script for each step, a task a line.

use super::shell;
use super::steps::Farm;

/// `1-analysis.sh` and so on: the lines of a file can run side by side, the files
/// one after the other.
pub fn files(farm: &Farm) -> Vec<(String, String)> {
    let script = |(n, step)| {
        let commands = farm.commands(step, None);
        let lines = commands.iter().map(|(_, words)| shell(words) + "\n");
        (format!("{n}-{}.sh", step.name), lines.collect())
    };
    (1..).zip(&farm.steps).map(script).collect()
}
