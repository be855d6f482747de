//! Channels whose samples name things: object numbers, and the layers of Cryptomatte.
//! The mean of two of them names a third thing or none, so they are never mixed: where a
//! picture is read between its pixels the nearest is taken, and where two pictures are
//! blended the one that has the larger share.
//!
//! A channel is one of these where it is of whole numbers (UINT), is of a Cryptomatte
//! layer (Friedman and Jones 2015, specification 1.2), or is called an identifier.

/// The number of digits that a Cryptomatte layer's name ends in.
const RANK: usize = 2;

/// What the attributes of a file say of its Cryptomattes: the names of their layers,
/// without the two digits of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Cryptomattes(Vec<String>);

impl Cryptomattes {
    /// From all text attributes of a file, name and value.
    pub(super) fn of(attributes: impl Iterator<Item = (String, String)>) -> Self {
        Self(
            attributes
                .filter(|(key, _)| told(key).is_some_and(|what| what == "name"))
                .map(|(_, value)| value)
                .collect(),
        )
    }

    /// Whether the channel `name` is of one of their layers, or looks as if it were where
    /// the file says nothing, as after a program that drops attributes.
    fn has(&self, name: &str) -> bool {
        let Some((layer, _)) = name.rsplit_once('.') else {
            return false;
        };
        let Some(stem) = layer
            .len()
            .checked_sub(RANK)
            .and_then(|at| layer.split_at_checked(at))
            .filter(|(_, rank)| rank.bytes().all(|b| b.is_ascii_digit()))
            .map(|(stem, _)| stem)
        else {
            return false;
        };
        let is_called = |known: &String| {
            // A view may stand before it.
            let before = stem.strip_suffix(known.as_str());
            before.is_some_and(|b| b.is_empty() || b.ends_with('.'))
        };
        self.0.iter().any(is_called) || stem.to_ascii_lowercase().contains("crypto")
    }
}

/// Which of a Cryptomatte's facts the attribute `key` tells: `name`, `manifest`, …
pub(super) fn told(key: &str) -> Option<&str> {
    // Compositors put their own word before it.
    let (before, facts) = key.rsplit_once("cryptomatte/")?;
    let (_, fact) = facts.split_once('/')?;
    (before.is_empty() || before.ends_with('/')).then_some(fact)
}

/// Whether samples of the channel `name`, of `whole` numbers or not, are never mixed.
pub(super) fn is_id(name: &str, whole: bool, cryptomattes: &Cryptomattes) -> bool {
    whole || cryptomattes.has(name) || is_called_id(name)
}

/// Whether a channel is called an identifier: `id`, `objectId`, `MaterialID`, `node_id`
/// and so on, with a number behind it or not, or Blender's `IndexOB` and `IndexMA`; its
/// own name, or the layer's where the channel is a letter of it.
fn is_called_id(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    let own = parts.next().unwrap_or(name);
    let layer = parts.next().filter(|_| own.len() == 1);
    [Some(own), layer].into_iter().flatten().any(|part| {
        let part = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let Some((before, id)) = part
            .len()
            .checked_sub(2)
            .and_then(|at| part.split_at_checked(at))
        else {
            return false;
        };
        let begins_a_word = match before.chars().next_back() {
            None | Some('_' | '-' | ' ' | ':') => id.eq_ignore_ascii_case("id"),
            Some(c) => (id == "ID" || id == "Id") && !c.is_ascii_uppercase(),
        };
        begins_a_word || ["IndexOB", "IndexMA", "Object Index", "Material Index"].contains(&part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mattes(pairs: &[(&str, &str)]) -> Cryptomattes {
        let owned = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        Cryptomattes::of(owned)
    }

    #[test]
    fn layers_that_the_attributes_name_are_told_by_them() {
        let told = mattes(&[
            ("cryptomatte/ab12cd3/name", "ViewLayer.Things"),
            ("cryptomatte/ab12cd3/hash", "MurmurHash3_32"),
            ("exr/cryptomatte/f00/name", "uAsset"),
            ("comments", "Beauty"),
        ]);
        for name in [
            "ViewLayer.Things00.R",
            "ViewLayer.Things07.a",
            "uAsset02.red",
            "right.uAsset02.B",
        ] {
            assert!(told.has(name), "{name}");
            assert!(!mattes(&[]).has(name), "{name}");
        }
        for name in [
            "ViewLayer.Things.R",
            "Things00.R",
            "MyuAsset02.R",
            "uAsset0é.R",
            "Beauty.R",
            "MurmurHash3_3200.R",
            "é",
            "R",
        ] {
            assert!(!told.has(name), "{name}");
        }
    }

    #[test]
    fn without_attributes_the_usual_names_tell() {
        let none = mattes(&[]);
        for name in ["crypto_object00.R", "rgba.CryptoAsset01.g"] {
            assert!(is_id(name, false, &none), "{name}");
        }
        // The preview is a picture of colours.
        assert!(!is_id("crypto_object.R", false, &none));
    }

    #[test]
    fn identifiers_are_known_by_name_and_words_that_end_alike_are_not() {
        let none = mattes(&[]);
        for name in [
            "id",
            "ID",
            "id2",
            "objectId",
            "MaterialID.R",
            "node_id",
            "identifier:id",
            "ViewLayer.IndexOB.X",
            "ViewLayer.Object Index.X",
            "ID.X",
        ] {
            assert!(is_id(name, false, &none), "{name}");
        }
        for name in [
            "R", "Z", "fluid", "grid.X", "Solid", "VOID", "id.depth", "idle", "N.X", "uv.u",
        ] {
            assert!(!is_id(name, false, &none), "{name}");
        }
        assert!(is_id("anything", true, &none));
    }
}
