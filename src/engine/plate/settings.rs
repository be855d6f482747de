//! What the artist chooses of the plate engine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::exposure::Level;
use super::parts::Mattes;
use crate::engine::EngineError;
use crate::frame::{FrameList, FrameListError, FrameRange};

/// Settings of the plate engine. The defaults are those of the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Another seed, another take.
    pub seed: u64,
    /// From 0 (long clips, safest cuts) to 1 (short clips, most new).
    pub novelty: f64,
    /// How many plans are made; the best is kept. At least 1.
    pub plans: u32,
    /// Whether both sides of a switch are warped toward each other.
    pub warp: bool,
    /// Whether the lowest frequencies are shared between clips.
    pub low_band: bool,
    /// Whether the camera's motion is taken out of the plate before anything is
    /// decided, and put back on what is made.
    pub steady: Steady,
    /// Whether a drift of the exposure is taken out likewise, and put back.
    pub level: Level,
    /// Plate frames that are shown nowhere but in their own places, as an artist
    /// writes them (`1010-1014,1050`); none where empty.
    pub leave_out: String,
    /// A matte, numbered as the plate is or of a single frame, of what is kept from
    /// the plate: faces, hero subjects. Inside, the plate's own consecutive time plays.
    pub hold_out: Option<PathBuf>,
    /// Regions that change clip as one piece.
    pub regions: Vec<Region>,
    /// What is made again, in order.
    pub remakes: Vec<Remake>,
}

/// A region that changes clip as one piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Where it is: numbered as the plate is, or of a single frame.
    pub matte: PathBuf,
    /// The seed of clips of its own; `None` where it plays what the picture does.
    pub seed: Option<u64>,
}

/// A part of a take that is made again; all else stays as it was, to the bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remake {
    /// The output frames; `None` for all.
    pub frames: Option<FrameRange>,
    /// A matte, numbered as the output is or of a single frame, outside of which
    /// nothing changes; `None` for the whole picture.
    pub matte: Option<PathBuf>,
    /// Its seed.
    pub seed: u64,
}

impl Remake {
    /// Reads a list as artists write it: `1100-1140=3; 1200-1260@matte.####.png=5`,
    /// frames, a matte behind `@` where there is one, and the seed.
    ///
    /// # Errors
    /// A sentence of what is wrong and what to write.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        let parts = text.split(';').map(str::trim).filter(|p| !p.is_empty());
        parts
            .map(|part| {
                let wrong = |what: &str| {
                    format!("'{part}' in the list to make again {what}: write frames and a seed, as in 1100-1140=3, and a matte behind @ where only what it covers is meant, as in 1100-1140@matte.####.png=3")
                };
                let (what, seed) = part.rsplit_once('=').ok_or_else(|| wrong("has no seed"))?;
                let seed = seed.trim().parse().map_err(|_| wrong("has no whole number for a seed"))?;
                let (frames, matte) = match what.split_once('@') {
                    Some((frames, matte)) => (frames.trim(), Some(matte.trim())),
                    None => (what.trim(), None),
                };
                let frames = match frames {
                    "" => None,
                    text => {
                        let list: FrameList = text.parse().map_err(|_| wrong("has no frames"))?;
                        Some(list.as_range().ok_or_else(|| wrong("is not of frames in a row"))?)
                    }
                };
                if frames.is_none() && matte.is_none() || matte == Some("") {
                    return Err(wrong("says neither frames nor a matte"));
                }
                Ok(Self {
                    frames,
                    matte: matte.map(PathBuf::from),
                    seed,
                })
            })
            .collect()
    }
}

/// When a plate is steadied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Steady {
    /// Where its camera moves, and not so far that frames hardly overlap.
    #[default]
    Auto,
    /// Wherever its camera can be followed.
    On,
    /// Never.
    Off,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            novelty: 0.5,
            plans: 6,
            warp: true,
            low_band: true,
            steady: Steady::Auto,
            level: Level::Auto,
            leave_out: String::new(),
            hold_out: None,
            regions: Vec::new(),
            remakes: Vec::new(),
        }
    }
}

impl Settings {
    /// For each frame of `plate` whether it is left out; empty where none is.
    ///
    /// # Errors
    /// Where the list is none.
    pub(super) fn left_out(&self, plate: FrameRange) -> Result<Vec<bool>, EngineError> {
        if self.leave_out.trim().is_empty() {
            return Ok(Vec::new());
        }
        let list: FrameList = self.leave_out.parse().map_err(|e: FrameListError| {
            EngineError::Request(format!("frames to leave out: {e}"))
        })?;
        Ok(plate.iter().map(|f| list.contains(f)).collect())
    }

    /// A text that differs where the settings do, or what the mattes hold that they
    /// name, wherever these lie.
    pub fn key(&self, mattes: &Mattes) -> String {
        let mut named = self.clone();
        let regions = named.regions.iter_mut().map(|r| &mut r.matte);
        let remakes = named.remakes.iter_mut().filter_map(|r| r.matte.as_mut());
        for matte in named.hold_out.iter_mut().chain(regions).chain(remakes) {
            *matte = mattes.name(matte).into();
        }
        format!("{named:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_again_is_read_as_it_is_written() {
        let frames = |a, b| FrameRange::new(a, b);
        let remake = |frames, matte: Option<&str>, seed| Remake {
            frames,
            matte: matte.map(PathBuf::from),
            seed,
        };
        assert_eq!(Remake::list(" "), Ok(vec![]));
        assert_eq!(
            Remake::list("1100-1140=3; -20--5@a b/m.####.png = 5;@still=x.exr=7;"),
            Ok(vec![
                remake(frames(1100, 1140), None, 3),
                remake(frames(-20, -5), Some("a b/m.####.png"), 5),
                remake(None, Some("still=x.exr"), 7),
            ])
        );
        for (text, word) in [
            ("1100-1140", "no seed"),
            ("1100-1140=x", "whole number"),
            ("1100-1105,1109=3", "in a row"),
            ("=3", "neither"),
            ("1-9@=3", "neither"),
            ("a-b=3", "no frames"),
        ] {
            let error = Remake::list(text).unwrap_err();
            assert!(
                error.contains(word) && error.contains("1100-1140=3"),
                "{error}"
            );
        }
    }
}
