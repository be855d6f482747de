//! Pictures: what they are made of, where they come from and how they are
//! encoded. Scene-linear float inside; row 0 is the top row.

mod alpha;
mod cached;
mod colour;
mod encoding;
mod file;
mod finite;
mod frame_list;
mod ids;
mod matte;
mod picture;
mod plate;
mod range;
mod resample;
mod scaled;
mod sequence;

pub use cached::CachedPlate;
pub use colour::{BUILT_IN, ColourConfig, ColourError, Conversion};
pub(crate) use encoding::recoded;
pub use encoding::{Transfer, to_display, to_linear};
pub use file::{
    ChannelFormat, Compression, FilePlate, FrameHeader, FrameHeaders, PlateOptions, Primaries,
    SampleDepth, SequenceWriter, TimeCode, WriteOptions, provenance,
};
pub(crate) use finite::{Samples, mend};
pub use frame_list::{FrameList, FrameListError};
pub use matte::MattePlate;
pub use picture::{Picture, Window};
pub(crate) use plate::sides;
pub use plate::{FrameError, PlateInfo, PlateReader, Warning};
pub use range::FrameRange;
pub use resample::{Filter, Taps, resampled};
pub use scaled::ScaledPlate;
pub use sequence::Sequence;
pub(crate) use sequence::in_words;
