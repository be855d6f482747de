//! Frame numbers as an artist writes them: `1001-1100`, `1001-1100x2`,
//! `1001,1010-1020`.

use std::str::FromStr;

use super::FrameRange;

/// An ordered list of frame numbers, kept as the stretches it was written in,
/// so that a long range costs nothing. Never empty; a frame that several
/// stretches name counts once, where it first comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameList {
    stretches: Vec<Stretch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    range: FrameRange,
    step: u32,
}

impl Stretch {
    fn iter(self) -> impl Iterator<Item = i32> {
        self.range.iter().step_by(self.step as usize)
    }

    fn contains(self, frame: i32) -> bool {
        self.range.contains(frame)
            && (i64::from(frame) - i64::from(self.range.first)) % i64::from(self.step) == 0
    }
}

/// Why a text is no list of frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no frame range: {advice}")]
pub struct FrameListError {
    /// The part that was not understood.
    pub text: String,
    /// What to write.
    pub advice: &'static str,
}

impl FrameList {
    /// The fewest stretches that hold just `frames`, which are in order, each
    /// once; `None` where there are none. Three or more at one distance are a
    /// stretch.
    pub fn of(frames: &[i32]) -> Option<Self> {
        let distance = |a: i32, b: i32| b.abs_diff(a);
        let mut stretches = Vec::new();
        let mut rest = frames;
        while let [first, after @ ..] = rest {
            let step = after.first().map_or(1, |b| distance(*first, *b)).max(1);
            let same = rest.windows(2).take_while(|w| distance(w[0], w[1]) == step);
            let reach = same.count();
            let (count, step) = match (reach, step) {
                (0 | 1, 2..) => (1, 1),
                _ => (reach + 1, step),
            };
            let range = FrameRange::new(*first, rest[count - 1])?;
            stretches.push(Stretch { range, step });
            rest = &rest[count..];
        }
        (!stretches.is_empty()).then_some(Self { stretches })
    }

    /// The stretches as they are written, each with its step.
    pub fn stretches(&self) -> impl Iterator<Item = (FrameRange, u32)> + '_ {
        self.stretches.iter().map(|s| (s.range, s.step))
    }

    /// The frame numbers in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = i32> + '_ {
        self.stretches.iter().enumerate().flat_map(|(i, s)| {
            let before = &self.stretches[..i];
            s.iter()
                .filter(move |&f| !before.iter().any(|b| b.contains(f)))
        })
    }

    /// Whether `frame` is in the list.
    pub fn contains(&self, frame: i32) -> bool {
        self.stretches.iter().any(|s| s.contains(frame))
    }

    /// Whether all frames of the list are in `range`.
    pub fn is_within(&self, range: FrameRange) -> bool {
        self.stretches.iter().all(|s| {
            let reach = i64::from(s.range.last) - i64::from(s.range.first);
            let beyond = reach % i64::from(s.step);
            // The last of a stretch with a step need not be its end.
            let last = i64::from(s.range.last) - beyond;
            range.contains(s.range.first) && last <= i64::from(range.last)
        })
    }

    /// From the lowest to the highest frame of the list.
    pub fn bounds(&self) -> FrameRange {
        let mut all = self.stretches[0].range;
        for s in &self.stretches {
            all.first = all.first.min(s.range.first);
            all.last = all.last.max(s.range.last);
        }
        all
    }

    /// The list as one range, or `None` where it is more than that.
    pub fn as_range(&self) -> Option<FrameRange> {
        match self.stretches[..] {
            [Stretch { range, step: 1 }] => Some(range),
            _ => None,
        }
    }
}

impl From<FrameRange> for FrameList {
    fn from(range: FrameRange) -> Self {
        Self {
            stretches: vec![Stretch { range, step: 1 }],
        }
    }
}

impl FromStr for FrameList {
    type Err = FrameListError;

    fn from_str(text: &str) -> Result<Self, FrameListError> {
        let stretches = text
            .split(',')
            .map(|part| stretch(part.trim()))
            .collect::<Result<_, _>>()?;
        Ok(Self { stretches })
    }
}

impl FromStr for FrameRange {
    type Err = FrameListError;

    fn from_str(text: &str) -> Result<Self, FrameListError> {
        let list: FrameList = text.parse()?;
        list.as_range().ok_or_else(|| FrameListError {
            text: text.to_owned(),
            advice: "one range without steps or commas is needed here, as in 1001-1100",
        })
    }
}

impl std::fmt::Display for FrameList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, s) in self.stretches.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}", s.range)?;
            if s.step > 1 {
                write!(f, "x{}", s.step)?;
            }
        }
        Ok(())
    }
}

fn stretch(text: &str) -> Result<Stretch, FrameListError> {
    let fail = |advice| FrameListError {
        text: text.to_owned(),
        advice,
    };
    if text.contains([':', 'y', 'Y']) {
        return Err(fail(
            "write a step with x, as in 1001-1100x2; steps written with : or y are not taken, since programs mean different frames by them",
        ));
    }
    const FORM: &str = "write 1001, 1001-1100, 1001-1100x2, or several with commas between";
    let (range, step) = match text.split_once(['x', 'X']) {
        Some((range, step)) => (range, step.trim().parse().map_err(|_| fail(FORM))?),
        None => (text, 1u32),
    };
    if step == 0 {
        return Err(fail("the step after x must be 1 or more"));
    }
    let range = range.trim();
    // A sign is no dash between two numbers.
    let dash = range
        .char_indices()
        .skip(1)
        .find(|&(_, c)| c == '-')
        .map(|(i, _)| i);
    let (first, last) = match dash {
        Some(i) => (&range[..i], &range[i + 1..]),
        None => (range, range),
    };
    let number = |s: &str| s.trim().parse::<i32>().map_err(|_| fail(FORM));
    let range = FrameRange::new(number(first)?, number(last)?).ok_or_else(|| {
        fail("it ends before it begins; write the lower frame first, as in 1001-1100")
    })?;
    Ok(Stretch { range, step })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(text: &str) -> Vec<i32> {
        text.parse::<FrameList>().unwrap().iter().collect()
    }

    #[test]
    fn lists_read_as_artists_write_them() {
        assert_eq!(frames("7"), [7]);
        assert_eq!(frames("1001-1004"), [1001, 1002, 1003, 1004]);
        assert_eq!(frames("1001-1010x3"), [1001, 1004, 1007, 1010]);
        assert_eq!(frames("5, 1-3"), [5, 1, 2, 3]);
        assert_eq!(frames("-3--1"), [-3, -2, -1]);
        assert_eq!(frames("-1-1"), [-1, 0, 1]);
        assert_eq!(frames("1-10x2,1-10x3"), [1, 3, 5, 7, 9, 4, 10]);
    }

    #[test]
    fn frames_are_told_in_few_words() {
        let words = |frames: &[i32]| FrameList::of(frames).unwrap().to_string();
        assert_eq!(words(&[7]), "7");
        assert_eq!(words(&[1, 2]), "1-2");
        assert_eq!(words(&[1, 2, 3, 5, 7]), "1-3,5,7");
        assert_eq!(words(&[-4, -2, 0, 2, 3, 4]), "-4-2x2,3-4");
        assert_eq!(words(&[i32::MIN, i32::MAX]), "-2147483648,2147483647");
        assert!(FrameList::of(&[]).is_none());
        let all: Vec<i32> = (1..400).filter(|n| n % 3 == 0 || n % 7 == 1).collect();
        assert_eq!(frames(&words(&all)), all);
    }

    #[test]
    fn a_list_reaches_as_far_as_its_last_frame() {
        let within = |text: &str| {
            let list: FrameList = text.parse().unwrap();
            list.is_within(FrameRange { first: 1, last: 10 })
        };
        for text in ["1-10", "10", "1-12x3", "7,1-3"] {
            assert!(within(text), "{text}");
        }
        for text in ["0-10", "1-11", "1-13x3", "5,11", "-5--1"] {
            assert!(!within(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_list_says_how_to_write_one() {
        for text in [
            "",
            "x",
            "1-",
            "-",
            "a-b",
            "1-2-3",
            "10-1",
            "1-5x0",
            "1,,2",
            "9999999999",
            "1-10:2",
            "1-10y3",
        ] {
            let error = text.parse::<FrameList>().unwrap_err().to_string();
            assert!(error.contains("10") || error.contains('1'), "{error}");
        }
        assert!("1-3,5".parse::<FrameRange>().is_err());
        assert_eq!(
            "-5-5".parse::<FrameRange>().unwrap(),
            FrameRange { first: -5, last: 5 }
        );
    }

    #[test]
    fn the_widest_range_is_cheap_and_prints_as_written() {
        let text = "-2147483648-2147483647x7,3";
        let list: FrameList = text.parse().unwrap();
        assert_eq!(list.to_string(), text);
        assert_eq!(list.bounds().count(), 1 << 32);
        assert_eq!(list.iter().nth(1), Some(i32::MIN + 7));
    }
}
