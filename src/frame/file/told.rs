//! Texts that a written frame carries of itself: what it was made from, and where it
//! comes from.

use serde::Deserialize;

/// Name under which a written frame tells what it was made from.
pub(super) const TAKE: &str = "longtake:take";
/// Name under which a written frame tells where it comes from.
pub(super) const PROVENANCE: &str = "longtake:provenance";

/// Bytes of a text attribute of EXR at most. The standard allows more, but ffmpeg before
/// version 6 loses its place in a header behind a longer one.
const MOST: usize = 250;

/// What a written frame tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Names what it was made from.
    pub(super) take: String,
    /// Its number; `None` where it does not tell.
    pub(super) frame: Option<i32>,
}

impl Told {
    /// What the texts under [`TAKE`] and [`PROVENANCE`] tell.
    pub(super) fn of(take: String, provenance: Option<&str>) -> Self {
        #[derive(Deserialize)]
        struct Numbered {
            frame: i32,
        }
        let numbered = provenance.and_then(|p| serde_json::from_str::<Numbered>(p).ok());
        Self {
            take,
            frame: numbered.map(|n| n.frame),
        }
    }
}

/// The name of part `n` of a text, counted from 1.
fn part_name(name: &str, n: usize) -> String {
    match n {
        1 => name.to_owned(),
        n => format!("{name}.{n}"),
    }
}

/// `text` in parts that any reader of EXR takes, each with its name.
pub(super) fn parts(name: &str, text: &str) -> Vec<(String, String)> {
    // A letter is a byte in EXR.
    let letters: Vec<char> = text.chars().collect();
    let parts = letters.chunks(MOST).map(|part| part.iter().collect());
    (1..)
        .zip(parts)
        .map(|(n, part)| (part_name(name, n), part))
        .collect()
}

/// The text of which `part` has the parts by their names, if it has any.
pub(super) fn joined(name: &str, part: impl Fn(&str) -> Option<String>) -> Option<String> {
    let first = part(name)?;
    let rest = (2..).map_while(|n| part(&part_name(name, n)));
    Some(rest.fold(first, |text, part| text + &part))
}

/// Whether `name` is that of a part of the text `of`.
pub(super) fn is_part(name: &str, of: &str) -> bool {
    let rest = name.strip_prefix(of);
    rest.is_some_and(|r| r.is_empty() || r.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn texts_come_back_from_their_parts() {
        for length in [1, 249, 250, 251, 500, 780, 3_000] {
            let text: String = ('a'..='z').cycle().take(length).collect();
            let parts: HashMap<String, String> = parts("t", &text).into_iter().collect();
            assert_eq!(parts.len(), length.div_ceil(MOST));
            assert!(
                parts
                    .iter()
                    .all(|(n, p)| p.len() <= MOST && is_part(n, "t"))
            );
            let back = joined("t", |name| parts.get(name).cloned());
            assert_eq!(back, Some(text));
        }
        assert_eq!(joined("t", |_| None), None);
        assert!(!is_part("take", "t"));
    }
}
