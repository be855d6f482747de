//! In which form frames come through the pipe.

use crate::frame::file::SampleDepth;

/// Grey or colour, see-through or not, of 8 bits or 16.
#[derive(Clone, Copy, Debug)]
pub(super) struct PixelFormat {
    grey: bool,
    alpha: bool,
    deep: bool,
}

impl PixelFormat {
    /// The form that loses nothing of ffmpeg's pixel format `name`.
    pub(super) fn of(name: &str) -> Self {
        let deep = ["9", "10", "12", "14", "16", "48", "64", "f32"]
            .iter()
            .any(|d| name.trim_end_matches("le").trim_end_matches("be").ends_with(d))
            // These end in numbers that are no depth.
            && !["nv12", "yuv410p", "yuv411p", "uyyvyy411"].contains(&name);
        Self {
            grey: name.starts_with("gray"),
            alpha: ["yuva", "rgba", "bgra", "argb", "abgr", "gbrap"]
                .iter()
                .any(|p| name.starts_with(p)),
            deep,
        }
    }

    pub(super) fn names(self) -> &'static [&'static str] {
        match (self.grey, self.alpha) {
            (true, _) => &["Y"],
            (false, false) => &["R", "G", "B"],
            (false, true) => &["R", "G", "B", "A"],
        }
    }

    pub(super) fn name(self) -> &'static str {
        match (self.grey, self.alpha, self.deep) {
            (true, _, false) => "gray",
            (true, _, true) => "gray16be",
            (false, false, false) => "rgb24",
            (false, false, true) => "rgb48be",
            (false, true, false) => "rgba",
            (false, true, true) => "rgba64be",
        }
    }

    pub(super) fn depth(self) -> SampleDepth {
        if self.deep {
            SampleDepth::Bits16
        } else {
            SampleDepth::Bits8
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixel_formats_lose_nothing() {
        for (name, expected) in [
            ("yuv420p", "rgb24"),
            ("nv12", "rgb24"),
            ("yuv411p", "rgb24"),
            ("yuv422p10le", "rgb48be"),
            ("p010le", "rgb48be"),
            ("yuva444p12le", "rgba64be"),
            ("argb", "rgba"),
            ("gray", "gray"),
            ("gray16le", "gray16be"),
            ("rgb48le", "rgb48be"),
            ("rgb24", "rgb24"),
            ("gbrap10le", "rgba64be"),
        ] {
            assert_eq!(PixelFormat::of(name).name(), expected, "{name}");
        }
    }
}
