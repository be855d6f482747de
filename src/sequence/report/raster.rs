//! A small canvas: rectangles, lines, text and pictures, 8 bits a channel.

use std::io;

use font8x8::{BASIC_FONTS, GREEK_FONTS, LATIN_FONTS, UnicodeFonts};

use super::encoded::Encoded;

/// A colour, red, green and blue.
pub type Colour = [u8; 3];

/// Side of a letter in pixels.
pub const LETTER: usize = 8;
/// From line to line, in pixels.
pub(super) const LINE: i32 = 12;

/// How wide `text` is when it is drawn, in pixels.
pub(super) fn width_of(text: &str) -> usize {
    text.chars().count() * LETTER
}

/// `text` in lines no wider than `width` pixels, broken between words; within a word
/// only where it is wider by itself.
pub(super) fn lines_of(text: &str, width: usize) -> Vec<String> {
    let most = (width / LETTER).max(1);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => {
                let letters: Vec<char> = word.chars().collect();
                lines.extend(letters.chunks(most).map(|part| part.iter().collect()));
            }
        }
    }
    lines
}

/// An RGB picture of 8 bits a channel, display-encoded, row 0 on top. Drawing
/// outside of it is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raster {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<u8>,
}

impl Raster {
    /// A canvas of one colour.
    pub fn new(width: usize, height: usize, colour: Colour) -> Self {
        let mut rgb = Vec::with_capacity(width * height * 3);
        for _ in 0..width * height {
            rgb.extend(colour);
        }
        Self { width, height, rgb }
    }

    /// A picture as a display shows it, reduced so that it is at most `width`
    /// pixels wide: each pixel the mean of those that it covers.
    pub fn of(picture: &Encoded, width: usize) -> Self {
        let width = width.clamp(1, picture.width.max(1));
        let height = (picture.height * width)
            .div_ceil(picture.width.max(1))
            .max(1);
        let mut out = Self::new(width, height, [0; 3]);
        let span = |i: usize, to: usize, from: usize| {
            let a = (i * from / to).min(from.saturating_sub(1));
            a..((i + 1) * from / to).clamp(a + 1, from.max(a + 1))
        };
        for y in 0..height {
            let rows = span(y, height, picture.height);
            for x in 0..width {
                let cols = span(x, width, picture.width);
                let mut sum = [0.0f32; 3];
                for row in rows.clone() {
                    let i = row * picture.width;
                    let part = &picture.rgb[(i + cols.start) * 3..(i + cols.end) * 3];
                    for p in part.chunks_exact(3) {
                        for (s, v) in sum.iter_mut().zip(p) {
                            *s += v;
                        }
                    }
                }
                let n = (rows.len() * cols.len()) as f32;
                out.set(x as i32, y as i32, sum.map(|s| byte(s / n)));
            }
        }
        out
    }

    /// Colours a pixel.
    pub fn set(&mut self, x: i32, y: i32, colour: Colour) {
        if x >= 0 && y >= 0 && (x as usize) < self.width && (y as usize) < self.height {
            let i = (y as usize * self.width + x as usize) * 3;
            self.rgb[i..i + 3].copy_from_slice(&colour);
        }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, x: i32, y: i32, width: i32, height: i32, colour: Colour) {
        for y in y..y + height {
            for x in x..x + width {
                self.set(x, y, colour);
            }
        }
    }

    /// Lays `other` with its top left corner at (`x`, `y`).
    pub fn lay(&mut self, other: &Self, x: i32, y: i32) {
        for (r, row) in other.rgb.chunks_exact(other.width.max(1) * 3).enumerate() {
            for (c, p) in row.chunks_exact(3).enumerate() {
                self.set(x + c as i32, y + r as i32, [p[0], p[1], p[2]]);
            }
        }
    }

    /// A line of one pixel (Bresenham 1965).
    pub fn line(&mut self, from: (i32, i32), to: (i32, i32), colour: Colour) {
        let (mut x, mut y) = from;
        let (dx, dy) = ((to.0 - x).abs(), -(to.1 - y).abs());
        let (sx, sy) = ((to.0 - x).signum(), (to.1 - y).signum());
        let mut error = dx + dy;
        loop {
            self.set(x, y, colour);
            if (x, y) == to {
                return;
            }
            let twice = 2 * error;
            if twice >= dy {
                error += dy;
                x += sx;
            }
            if twice <= dx {
                error += dx;
                y += sy;
            }
        }
    }

    /// Writes `text` with the top left corner of its first letter at
    /// (`x`, `y`), letters of [`LETTER`] pixels; of other scripts than Latin and Greek `?`.
    pub fn text(&mut self, x: i32, y: i32, text: &str, colour: Colour) {
        for (i, c) in text.chars().enumerate() {
            let glyph = BASIC_FONTS.get(c).or_else(|| LATIN_FONTS.get(c));
            let glyph = glyph.or_else(|| GREEK_FONTS.get(c));
            let glyph = glyph.or_else(|| BASIC_FONTS.get('?')).unwrap_or_default();
            for (r, bits) in glyph.iter().enumerate() {
                for b in 0..8 {
                    if bits >> b & 1 == 1 {
                        self.set(x + (i * LETTER + b) as i32, y + r as i32, colour);
                    }
                }
            }
        }
    }

    /// Writes `lines` one below the other, the first as [`text`](Self::text) does.
    pub(super) fn lines(&mut self, x: i32, y: i32, lines: &[String], colour: Colour) {
        for (y, line) in (y..).step_by(LINE as usize).zip(lines) {
            self.text(x, y, line, colour);
        }
    }

    /// Writes `text` on a dark ground, to be read on any picture.
    pub fn label(&mut self, x: i32, y: i32, text: &str) {
        let width = width_of(text) as i32;
        self.fill(x - 2, y - 2, width + 4, LETTER as i32 + 3, [0, 0, 0]);
        self.text(x, y, text, [255, 255, 255]);
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    /// Where the picture has no pixels.
    pub fn png(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
        let mut writer = encoder.write_header().map_err(io::Error::other)?;
        writer
            .write_image_data(&self.rgb)
            .map_err(io::Error::other)?;
        writer.finish().map_err(io::Error::other)?;
        Ok(bytes)
    }
}

/// A value from 0 to 1 in 8 bits.
pub(super) fn byte(v: f32) -> u8 {
    (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}
