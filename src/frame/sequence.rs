//! Numbered files as pipelines name them: `name.####.exr`, `name.%04d.exr`,
//! `name.$F4.exr`, `name.@@@@.exr`, or one of the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{FrameError, FrameRange};

/// The names of a sequence's files.
///
/// A run of `#` or of `@` stands for a number of at least as many digits, one `#`
/// alone for four; so do `%04d` and `$F4`; `@`, `%d` and `$F` take any. The sign of a
/// number below zero counts as a digit, as printf, Python and Nuke have it (`-005`); names
/// in which it does not (`-0005`) are read too. The token stands in
/// the file name, never in a folder's. A name without a frame token is a single file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    folder: PathBuf,
    before: String,
    /// Least number of digits; `None` for a single file.
    padding: Option<usize>,
    after: String,
}

/// Endings of frames that are read as numbered files. All else is a movie, whose name may
/// end in a number of another meaning (`A001_C003.mp4`).
const NUMBERED: [&str; 3] = ["exr", "sxr", "png"];

/// Endings of pictures that are not read as numbered files, so that a number in the name of
/// one says nothing; several beside each other are frames all the same.
const OTHERS: [&str; 12] = [
    "bmp", "cin", "dpx", "hdr", "jp2", "jpeg", "jpg", "sgi", "tga", "tif", "tiff", "webp",
];

impl Sequence {
    /// The sequence that `path` names. A path without a token is taken
    /// as it stands, also where its name ends in a number: see
    /// [`find`](Self::find) for reading.
    pub fn parse(path: &Path) -> Result<Self, FrameError> {
        let fail = |advice: &str| FrameError::Pattern {
            path: path.to_owned(),
            advice: advice.to_owned(),
        };
        let name = path
            .file_name()
            .ok_or_else(|| fail("this names no file; give a file name such as plate.####.exr"))?;
        let name = name.to_str().ok_or_else(|| {
            fail("the file name is not valid UTF-8; rename the files with plain letters")
        })?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let found = frame_tokens(name);
        match found[..] {
            [] => Ok(Self {
                folder,
                before: name.to_owned(),
                padding: None,
                after: String::new(),
            }),
            [(start, end, padding)] => Ok(Self {
                folder,
                before: name[..start].to_owned(),
                padding: Some(padding),
                after: name[end..].to_owned(),
            }),
            _ => Err(fail(
                "the name has more than one place for the frame number; keep one run of #",
            )),
        }
    }

    /// The sequence that `path` names for reading: where the path is one EXR or PNG file
    /// of a numbered sequence (`plate.1001.exr`), that sequence. A number
    /// after a `v` is a version, not a frame.
    pub fn find(path: &Path) -> Result<Self, FrameError> {
        let mut sequence = Self::parse(path)?;
        if sequence.is_single()
            && sequence.is_of_pictures()
            && let Some((start, end)) = trailing_number(&sequence.before)
        {
            let name = std::mem::take(&mut sequence.before);
            sequence.before = name[..start].to_owned();
            sequence.after = name[end..].to_owned();
            let number = &name[start..end];
            let digits = number.trim_start_matches('-');
            sequence.padding = Some(digits.len());
            if number.starts_with('-') {
                // Whether the sign counts is told by the files beside this one.
                let apart = sequence.files()?.len();
                sequence.padding = Some(number.len());
                if sequence.files()?.len() < apart {
                    sequence.padding = Some(digits.len());
                }
            }
            // `998` may be followed by `1000`; `0998` is four digits wide, and
            // so is `1000` where `0998` is there too.
            let padded = |path: &PathBuf| sequence.is_padded(path);
            if !digits.starts_with('0') && !sequence.files()?.values().any(padded) {
                sequence.padding = Some(1);
            }
        }
        Ok(sequence)
    }

    /// Whether this is one file without a number.
    pub fn is_single(&self) -> bool {
        self.padding.is_none()
    }

    /// Whether this is one file of several that are numbered alike and of a kind that is
    /// not read as frames, as JPEG.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn is_of_frames_not_read(&self) -> Result<bool, FrameError> {
        let number = trailing_number(&self.before).filter(|_| self.is_single());
        let Some((start, end)) = number.filter(|_| OTHERS.contains(&self.extension().as_str()))
        else {
            return Ok(false);
        };
        let beside = Self {
            folder: self.folder.clone(),
            before: self.before[..start].to_owned(),
            padding: Some(end - start),
            after: self.before[end..].to_owned(),
        };
        Ok(beside.files()?.len() > 1)
    }

    /// The file of `frame`; of a single file, that file.
    pub fn path(&self, frame: i32) -> PathBuf {
        self.folder.join(self.file_name(frame))
    }

    fn file_name(&self, frame: i32) -> String {
        let number = self
            .padding
            .map_or(String::new(), |width| format!("{frame:0width$}"));
        format!("{}{number}{}", self.before, self.after)
    }

    /// The folder of the files; empty for the working folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The sequence as people write it, whichever of its files it was found by:
    /// `name.####.exr`, as many `#` as all numbers there have digits; `name.%d.exr` where
    /// they have not all as many.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn pattern(&self) -> Result<String, FrameError> {
        if self.padding != Some(1) {
            return Ok(self.to_string());
        }
        let files = self.files()?;
        let mut lengths = files.values().map(|path| {
            let name = path.file_name().and_then(|n| n.to_str());
            name.and_then(|n| self.between(n)).map_or(0, str::len)
        });
        let first = lengths.next().unwrap_or(1);
        let padding = lengths.all(|l| l == first).then_some(first);
        let alike = Self {
            padding: Some(padding.unwrap_or(1).max(1)),
            ..self.clone()
        };
        Ok(alike.to_string())
    }

    /// What the file names have in common at their beginning.
    pub(super) fn stem(&self) -> &str {
        &self.before
    }

    /// The ending of the file names in lower case, without its dot.
    pub fn extension(&self) -> String {
        let name = if self.is_single() {
            &self.before
        } else {
            &self.after
        };
        name.rsplit_once('.')
            .map_or(String::new(), |(_, e)| e.to_ascii_lowercase())
    }

    /// The files that there are, by frame number; a single file is frame 1.
    /// Reads the folder once.
    pub fn files(&self) -> Result<BTreeMap<i32, PathBuf>, FrameError> {
        if self.is_single() {
            let path = self.path(1);
            return Ok(path.is_file().then_some((1, path)).into_iter().collect());
        }
        let folder = if self.folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &self.folder
        };
        let listing = match std::fs::read_dir(folder) {
            Ok(listing) => listing,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(e) => {
                return Err(FrameError::File {
                    path: self.folder.clone(),
                    message: format!("the folder cannot be listed ({e}); check its permissions"),
                });
            }
        };
        let mut files = BTreeMap::new();
        for entry in listing.flatten() {
            if let Some(name) = entry.file_name().to_str()
                && let Some(frame) = self.number(name)
                // One frame under two names is read under that it is written under.
                && (!files.contains_key(&frame) || name == self.file_name(frame))
            {
                files.insert(frame, self.folder.join(name));
            }
        }
        Ok(files)
    }

    /// Whether its files are pictures, a frame each, by their ending, and not a movie.
    pub fn is_of_pictures(&self) -> bool {
        NUMBERED.contains(&self.extension().as_str())
    }

    /// Whether the file name `name` is one of the sequence's, whatever its frame.
    pub fn has_name(&self, name: &str) -> bool {
        match self.padding {
            None => self.before == name,
            Some(_) => self.number(name).is_some(),
        }
    }

    /// What stands in `name` where the frame number is, with its sign.
    fn between<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rest = name.strip_prefix(self.before.as_str())?;
        rest.strip_suffix(self.after.as_str())
    }

    /// The frame number that `name` carries, where it is of this sequence.
    fn number(&self, name: &str) -> Option<i32> {
        let width = self.padding?;
        let number = self.between(name)?;
        let digits = number.strip_prefix('-').unwrap_or(number);
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        let fits = digits.len() == width
            || number.len() == width
            || digits.len() > width && !digits.starts_with('0');
        let frame = number.parse().ok()?;
        let zero = frame == 0 && digits != number;
        (plain && fits && !zero).then_some(frame)
    }

    /// Whether the number of the file `path` begins with zeros.
    fn is_padded(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|n| n.to_str());
        let digits = name.and_then(|n| self.between(n)).unwrap_or_default();
        let digits = digits.trim_start_matches('-');
        digits.len() > 1 && digits.starts_with('0')
    }
}

impl std::fmt::Display for Sequence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.padding {
            // One # alone is four digits.
            Some(1) => format!("{}%d{}", self.before, self.after),
            Some(width) => format!("{}{}{}", self.before, "#".repeat(width), self.after),
            None => self.before.clone(),
        };
        write!(f, "{}", self.folder.join(name).display())
    }
}

/// Frames in words, as `1001-1009, 1011-1100`; long lists are cut short.
pub(crate) fn in_words(frames: impl IntoIterator<Item = i32>) -> String {
    let runs = FrameRange::runs(frames);
    const SHOWN: usize = 6;
    let mut words: Vec<String> = runs.iter().take(SHOWN).map(ToString::to_string).collect();
    if runs.len() > SHOWN {
        words.push(format!("and {} more stretches", runs.len() - SHOWN));
    }
    words.join(", ")
}

/// Start, end and padding of every frame token in `name`.
fn frame_tokens(name: &str) -> Vec<(usize, usize, usize)> {
    let bytes = name.as_bytes();
    let mut found = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let run = |from: usize, is: &dyn Fn(u8) -> bool| {
            from + bytes[from..].iter().take_while(|&&b| is(b)).count()
        };
        let digits = |from| run(from, &|b| b.is_ascii_digit());
        let width = |from: usize, to: usize| name[from..to].parse().unwrap_or(1).clamp(1, 32);
        match bytes[i] {
            b @ (b'#' | b'@') => {
                let end = run(i, &|c| c == b);
                let width = if b == b'#' && end - i == 1 {
                    4
                } else {
                    end - i
                };
                found.push((i, end, width));
                i = end;
            }
            b'%' => {
                let end = digits(i + 1);
                if bytes.get(end) == Some(&b'd') {
                    found.push((i, end + 1, width(i + 1, end)));
                    i = end;
                }
                i += 1;
            }
            b'$' if bytes.get(i + 1) == Some(&b'F') => {
                let end = digits(i + 2);
                found.push((i, end, width(i + 2, end)));
                i = end;
            }
            _ => i += 1,
        }
    }
    found
}

/// Where the last number before the ending of `name` stands.
fn trailing_number(name: &str) -> Option<(usize, usize)> {
    let end = name.rfind('.')?;
    let stem = &name[..end];
    let digits = stem.bytes().rev().take_while(u8::is_ascii_digit).count();
    let mut start = end - digits;
    let before = stem[..start].chars().next_back();
    if digits == 0 || matches!(before, Some('v' | 'V')) {
        return None;
    }
    // `plate.-0005.exr`, but not `plate-0005.exr`.
    if before == Some('-') && stem[..start - 1].ends_with(['.', '_']) {
        start -= 1;
    }
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Sequence {
        Sequence::parse(Path::new(path)).unwrap()
    }

    #[test]
    fn every_way_to_write_a_number_names_the_same_file() {
        for pattern in [
            "a/p.####.exr",
            "a/p.#.exr",
            "a/p.%04d.exr",
            "a/p.@@@@.exr",
            "a/p.$F4.exr",
        ] {
            let s = parse(pattern);
            assert_eq!(s.path(7), Path::new("a/p.0007.exr"), "{pattern}");
            assert_eq!(s.path(12345), Path::new("a/p.12345.exr"));
            assert_eq!(s.path(-5), Path::new("a/p.-005.exr"));
            assert_eq!(s.path(-12345), Path::new("a/p.-12345.exr"));
            assert_eq!(s.extension(), "exr");
            assert_eq!(s.to_string(), "a/p.####.exr");
        }
        assert_eq!(parse("p%d.PNG").path(12), Path::new("p12.PNG"));
        assert_eq!(parse("p%d.PNG").extension(), "png");
        for pattern in ["p.$F.exr", "p.@.exr", "p.%d.exr"] {
            assert_eq!(parse(pattern).path(3), Path::new("p.3.exr"));
            assert_eq!(parse(pattern).to_string(), "p.%d.exr");
        }
        assert_eq!(parse("100%.exr").path(3), Path::new("100%.exr"));
        assert!(parse("still.exr").is_single());
    }

    #[test]
    fn paths_that_name_no_frames_are_refused() {
        for path in ["", "/", "a/..", "p.##.##.exr", "p%d_####.exr"] {
            assert!(
                matches!(
                    Sequence::parse(Path::new(path)),
                    Err(FrameError::Pattern { .. })
                ),
                "{path}"
            );
        }
    }

    #[test]
    fn the_files_of_a_sequence_are_found_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "p.0998.exr",
            "p.0999.exr",
            "p.1000.exr",
            "p.10000.exr",
            "p.-0001.exr",
            "p.01001.exr",
            "p.100.exr",
            "p.abcd.exr",
            "q.0001.exr",
            "p.0002.png",
            ".p.0003.exr",
            "p.0004.exr.part",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = |pattern: &str| -> Vec<i32> {
            let sequence = Sequence::find(&folder.path().join(pattern)).unwrap();
            sequence.files().unwrap().into_keys().collect()
        };
        assert_eq!(found("p.####.exr"), [-1, 998, 999, 1000, 10000]);
        assert_eq!(found("p.0998.exr"), [-1, 998, 999, 1000, 10000]);
        assert_eq!(found("p.1000.exr"), [-1, 998, 999, 1000, 10000]);
        assert_eq!(found("p.-0001.exr"), [-1, 998, 999, 1000, 10000]);
        assert_eq!(found("p.%d.exr"), [100, 1000, 10000]);
        assert!(found("nothing.####.exr").is_empty());
        assert!(found("no/such/folder.####.exr").is_empty());
    }

    #[test]
    fn a_sequence_found_by_one_of_its_files_is_told_as_people_write_it() {
        for (names, one, told) in [
            (&["1001", "1002"][..], "1002", "n.####.exr"),
            (&["0998", "1000"], "1000", "n.####.exr"),
            (&["100001"], "100001", "n.######.exr"),
            (&["998", "999", "1000"], "999", "n.%d.exr"),
            (&["7"], "7", "n.%d.exr"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(format!("n.{name}.exr"));
            for name in names {
                std::fs::write(path(name), "").unwrap();
            }
            let told = folder.path().join(told);
            for found in [path(one), folder.path().join("n.%d.exr")] {
                let found = Sequence::find(&found).unwrap();
                if one == "1000" && !found.path(7).ends_with("n.0007.exr") {
                    // `%d` does not name what begins with a zero.
                    continue;
                }
                assert_eq!(Path::new(&found.pattern().unwrap()), told);
            }
            let again = Sequence::find(&told).unwrap();
            assert_eq!(again.files().unwrap().len(), names.len());
        }
    }

    #[test]
    fn numbers_below_zero_are_read_as_printf_and_as_others_write_them() {
        let both = [
            &["-020", "-001", "0000", "0012"][..],
            &["-0020", "-0001", "0000", "0012"],
            &["-20", "-1", "0", "12"],
            &["-1200", "-101", "-100", "-020", "0099"],
        ];
        for names in both {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(format!("n.{name}.exr"));
            for name in names {
                std::fs::write(path(name), "").unwrap();
            }
            let numbers: Vec<i32> = names.iter().map(|n| n.parse().unwrap()).collect();
            for name in names {
                let found = Sequence::find(&path(name)).unwrap();
                let files = found.files().unwrap();
                assert_eq!(files.into_keys().collect::<Vec<_>>(), numbers, "{name}");
            }
        }
        // Under both names: that which is written is read.
        let folder = tempfile::tempdir().unwrap();
        for name in ["n.-0020.exr", "n.-020.exr"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let files = parse(folder.path().join("n.%04d.exr").to_str().unwrap());
        assert_eq!(files.files().unwrap()[&-20], files.path(-20));
        assert!(files.path(-20).ends_with("n.-020.exr"));
    }

    #[test]
    fn a_number_in_a_movie_s_name_is_no_frame() {
        for name in ["A001_C003.mp4", "day.0012.mov", "take7.MXF"] {
            let found = Sequence::find(Path::new(name)).unwrap();
            assert!(found.is_single(), "{name}");
            assert_eq!(found.to_string(), name);
        }
    }

    #[test]
    fn a_version_is_no_frame_number() {
        assert!(
            Sequence::find(Path::new("comp_v012.exr"))
                .unwrap()
                .is_single()
        );
        assert!(
            !Sequence::find(Path::new("comp_0012.exr"))
                .unwrap()
                .is_single()
        );
    }

    #[test]
    fn frames_in_words_are_short() {
        assert_eq!(in_words([1, 2, 3, 5, 7, 8]), "1-3, 5, 7-8");
        assert!(in_words((0..100).map(|i| 2 * i)).ends_with("and 94 more stretches"));
    }
}
