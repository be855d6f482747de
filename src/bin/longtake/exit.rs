//! Exit codes: the one table that the program, its help and the README have them
//! from.

use longtake::job::Kind;

/// Code, name in `--json` lines, and meaning.
pub const CODES: [(u8, &str, &str); 13] = [
    (0, "done", "all frames asked for are there"),
    (
        2,
        "usage",
        "an option, a parameter or the job file is wrong",
    ),
    (
        3,
        "missing",
        "frames or files of the plate, the matte or the model are missing",
    ),
    (
        4,
        "unreadable",
        "a file of the plate, the matte or the model cannot be read",
    ),
    (
        5,
        "mismatch",
        "frames of the plate, or plate and matte, differ in size",
    ),
    (
        6,
        "unsuitable",
        "plate, frame range and mode do not go together",
    ),
    (7, "output", "the output cannot be written"),
    (8, "full", "the disk is full"),
    (
        9,
        "cancelled",
        "stopped by Ctrl-C or a signal; run again to continue",
    ),
    (
        10,
        "tool",
        "a program that is needed, such as ffmpeg, is not installed",
    ),
    (
        11,
        "internal",
        "a fault of Longtake's own; please report it",
    ),
    (
        12,
        "memory",
        "out of memory: give it a machine with more, or lower 'memory' and 'threads'",
    ),
    (
        13,
        "elsewhere",
        "this machine cannot do it, another may: try again elsewhere",
    ),
];

/// The exit code for `kind`.
pub fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Usage => 2,
        Kind::Missing => 3,
        Kind::Unreadable => 4,
        Kind::Mismatch => 5,
        Kind::Unsuitable => 6,
        Kind::Output => 7,
        Kind::Full => 8,
        Kind::Cancelled => 9,
        Kind::Tool => 10,
        Kind::Internal => 11,
        Kind::Memory => 12,
        Kind::Elsewhere => 13,
    }
}

/// The table as help shows it.
pub fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, name, meaning) in CODES {
        text.push_str(&format!("  {code:>2}  {name:<11} {meaning}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_line_of_its_name() {
        for kind in [
            Kind::Usage,
            Kind::Missing,
            Kind::Unreadable,
            Kind::Mismatch,
            Kind::Unsuitable,
            Kind::Output,
            Kind::Full,
            Kind::Cancelled,
            Kind::Tool,
            Kind::Internal,
            Kind::Memory,
            Kind::Elsewhere,
        ] {
            let name = serde_json::to_value(kind).unwrap();
            let lines: Vec<_> = CODES.iter().filter(|c| c.0 == code(kind)).collect();
            assert_eq!(lines.len(), 1, "{kind:?} has a code of its own");
            assert_eq!(name, lines[0].1);
        }
    }
}
