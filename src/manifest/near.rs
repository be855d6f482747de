//! The known name that a mistyped one was meant to be.

/// The one of `names` that `word` is nearest to, where it is near at all. Case
/// and the difference between `low-band`, `low_band` and `lowBand` do not count.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    names
        .into_iter()
        .map(|name| (distance(&word, &plain(name)), name))
        .min_by_key(|(d, _)| *d)
        .filter(|(d, name)| *d <= name.len().max(3) / 3)
        .map(|(_, name)| name)
}

/// Up to `count` of `names`, those nearest to `word` first; those that hold it before
/// all others.
pub fn near<'a>(
    word: &str,
    names: impl IntoIterator<Item = &'a str>,
    count: usize,
) -> Vec<&'a str> {
    let word = plain(word);
    let text: String = word.iter().collect();
    let mut all: Vec<(bool, usize, &str)> = names
        .into_iter()
        .map(|name| {
            let name_plain = plain(name);
            let holds = name_plain.iter().collect::<String>().contains(&text);
            (!holds, distance(&word, &name_plain), name)
        })
        .collect();
    all.sort();
    all.into_iter()
        .take(count)
        .map(|(_, _, name)| name)
        .collect()
}

fn plain(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Letters to add, drop, change or swap with their neighbour (the optimal string
/// alignment distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = usize::from(a[i - 1] != b[j - 1]);
                let mut d = (rows[i - 1][j] + 1)
                    .min(rows[i][j - 1] + 1)
                    .min(rows[i - 1][j - 1] + change);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    d = d.min(rows[i - 2][j - 2] + 1);
                }
                d
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_nearest_first() {
        let names = ["ACEScct", "ACEScg", "Raw", "Linear ARRI Wide Gamut 4"];
        assert_eq!(near("acesg", names, 2), ["ACEScg", "ACEScct"]);
        assert_eq!(near("arri", names, 1), ["Linear ARRI Wide Gamut 4"]);
    }

    #[test]
    fn slips_are_understood_and_strangers_are_not() {
        let names = ["frames", "plateRange", "lowBand", "seed", "out"];
        for (word, meant) in [
            ("frame", Some("frames")),
            ("low-band", Some("lowBand")),
            ("sede", Some("seed")),
            ("plate_rnage", Some("plateRange")),
            ("ouput", None),
            ("codec", None),
        ] {
            assert_eq!(nearest(word, names), meant, "{word}");
        }
    }
}
