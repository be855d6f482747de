//! Pixels of the host's, read and written in place.
//!
//! A host's picture counts rows from the bottom and may lay them out downwards
//! (negative row bytes), may cover any rectangle, and has samples of four
//! types. A [`Picture`] of ours counts rows from the top and holds floats. Each
//! pixel is converted once on its way in and once on its way out; a sample that
//! only passes through comes out bit for bit.

use std::marker::PhantomData;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::frame::{Picture, Window};

/// A rectangle in OpenFX pixel coordinates: the origin at the bottom left, half
/// open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Left edge.
    pub x1: i32,
    /// Bottom edge.
    pub y1: i32,
    /// Right edge, outside.
    pub x2: i32,
    /// Top edge, outside.
    pub y2: i32,
}

impl From<[i32; 4]> for Rect {
    fn from([x1, y1, x2, y2]: [i32; 4]) -> Self {
        Self { x1, y1, x2, y2 }
    }
}

impl Rect {
    /// Width in pixels, 0 where the rectangle is empty.
    pub fn width(&self) -> usize {
        usize::try_from(i64::from(self.x2) - i64::from(self.x1)).unwrap_or(0)
    }

    /// Height in pixels, 0 where the rectangle is empty.
    pub fn height(&self) -> usize {
        usize::try_from(i64::from(self.y2) - i64::from(self.y1)).unwrap_or(0)
    }

    /// Whether it has no pixel.
    pub fn is_empty(&self) -> bool {
        self.width() == 0 || self.height() == 0
    }

    /// What both cover, possibly empty.
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
            x2: self.x2.min(other.x2),
            y2: self.y2.min(other.y2),
        }
    }

    /// `part` of this rectangle, counted from its top left corner.
    pub(super) fn window(&self, part: &Self) -> Window {
        Window {
            x0: part.x1 - self.x1,
            y0: self.y2 - part.y2,
            x1: part.x2 - self.x1,
            y1: self.y2 - part.y1,
        }
    }
}

/// Sample types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depth {
    /// 8 bits, 255 is white.
    Byte,
    /// 16 bits, 65535 is white.
    Short,
    /// 16-bit float.
    Half,
    /// 32-bit float.
    Float,
}

impl Depth {
    /// Bytes of a sample.
    pub fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Short | Self::Half => 2,
            Self::Float => 4,
        }
    }

    /// Whether values above 1 can be held.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Half | Self::Float)
    }
}

/// What a pixel is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Components {
    /// Red, green, blue, alpha.
    Rgba,
    /// Red, green, blue.
    Rgb,
    /// Alpha alone.
    Alpha,
}

impl Components {
    /// Samples of a pixel.
    pub fn count(self) -> usize {
        self.names().len()
    }

    /// Names of the samples, as [`PlateInfo`](crate::frame::PlateInfo) has
    /// them.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Rgba => &["R", "G", "B", "A"],
            Self::Rgb => &["R", "G", "B"],
            Self::Alpha => &["A"],
        }
    }
}

/// How a picture of the host's lies in memory.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Bytes from a pixel to the one above it; negative where rows go down.
    pub row_bytes: isize,
    /// The pixels that are there.
    pub bounds: Rect,
    /// The pixels that the whole picture has, where the host says.
    pub region: Option<Rect>,
    /// Sample type.
    pub depth: Depth,
    /// What a pixel is made of.
    pub components: Components,
    /// Whether colours are multiplied by alpha.
    pub premultiplied: bool,
}

/// A picture of the host's, lent for `'a`.
#[derive(Debug)]
pub struct Image<'a> {
    data: *mut u8,
    layout: Layout,
    lent: PhantomData<&'a mut [u8]>,
}

impl<'a> Image<'a> {
    /// The picture whose pixel at `layout.bounds.x1, y1` is at `data`; `None`
    /// where there are no pixels or the layout cannot be.
    ///
    /// # Safety
    /// For each row `y` of `layout.bounds` the bytes of its pixels, from
    /// `data + (y - y1) * row_bytes` on, are readable (and writable, where the
    /// picture is an output) and nobody else's for `'a`.
    pub unsafe fn new(data: *mut u8, layout: Layout) -> Option<Self> {
        let image = Self {
            data,
            layout,
            lent: PhantomData,
        };
        let fits = layout.row_bytes.unsigned_abs() >= image.row_len();
        let there = !data.is_null() && !layout.bounds.is_empty();
        // One row needs no stride.
        (there && (fits || layout.bounds.height() == 1)).then_some(image)
    }

    /// How it lies in memory.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The rectangle of the whole picture: its region of definition, or the
    /// pixels that are there where the host says nothing that holds them.
    pub fn region(&self) -> Rect {
        let bounds = self.layout.bounds;
        self.layout
            .region
            .filter(|r| !r.intersection(&bounds).is_empty())
            .unwrap_or(bounds)
    }

    fn pixel_len(&self) -> usize {
        self.layout.components.count() * self.layout.depth.bytes()
    }

    fn row_len(&self) -> usize {
        self.layout.bounds.width() * self.pixel_len()
    }

    /// Address of the pixel at the left of row `y`, which is one of `bounds`.
    fn row_start(&self, y: i32) -> *mut u8 {
        let up = (i64::from(y) - i64::from(self.layout.bounds.y1)) as isize;
        self.data.wrapping_offset(up * self.layout.row_bytes)
    }

    /// The bytes of pixels `x1..x2` of row `y`, all of them within `bounds`.
    fn bytes(&self, y: i32, x1: i32, x2: i32) -> Option<&[u8]> {
        let at = self.offset(y, x1, x2)?;
        // SAFETY: `offset` has checked that the row and the columns are the
        // picture's, which `new` was promised to be readable.
        Some(unsafe { std::slice::from_raw_parts(self.row_start(y).add(at.start), at.len()) })
    }

    /// As [`bytes`](Self::bytes), to be written.
    fn bytes_mut(&mut self, y: i32, x1: i32, x2: i32) -> Option<&mut [u8]> {
        let at = self.offset(y, x1, x2)?;
        // SAFETY: as in `bytes`; `&mut self` keeps all else of ours out.
        Some(unsafe { std::slice::from_raw_parts_mut(self.row_start(y).add(at.start), at.len()) })
    }

    fn offset(&self, y: i32, x1: i32, x2: i32) -> Option<std::ops::Range<usize>> {
        let b = self.layout.bounds;
        let inside = (b.y1..b.y2).contains(&y) && b.x1 <= x1 && x1 <= x2 && x2 <= b.x2;
        let from = |x: i32| (x - b.x1) as usize * self.pixel_len();
        inside.then(|| from(x1)..from(x2))
    }

    /// The pixels of rectangle `canvas` as a picture with the samples `names`;
    /// black where the image has none.
    pub fn to_picture(&self, canvas: &Rect, names: &[&str]) -> Picture {
        let n = names.len();
        let mut picture = Picture::new(canvas.width(), canvas.height(), n);
        let part = canvas.intersection(&self.layout.bounds);
        if part.is_empty() {
            return picture;
        }
        let own = self.layout.components.names();
        let same = own == names;
        let mut samples = vec![0.0; part.width() * own.len()];
        let left = (part.x1 - canvas.x1) as usize * n;
        for y in part.y1..part.y2 {
            let Some(bytes) = self.bytes(y, part.x1, part.x2) else {
                continue;
            };
            let row = picture.row_mut((canvas.y2 - 1 - y) as usize);
            let row = &mut row[left..left + part.width() * n];
            if same {
                decode(bytes, self.layout.depth, row);
            } else {
                decode(bytes, self.layout.depth, &mut samples);
                rearrange(&samples, own, row, names);
            }
        }
        picture
    }

    /// Writes `window`, a rectangle of `canvas`, from `picture`, which holds
    /// all of `canvas` or just the window, with the samples `names`. What lies
    /// outside of `canvas` becomes black.
    pub fn write(&mut self, window: &Rect, canvas: &Rect, picture: &Picture, names: &[&str]) {
        let window = window.intersection(&self.layout.bounds);
        let whole = (picture.width(), picture.height()) == (canvas.width(), canvas.height());
        let part = window.intersection(canvas);
        let held = if whole { *canvas } else { part };
        if part.is_empty()
            || (picture.width(), picture.height()) != (held.width(), held.height())
            || picture.channels() != names.len()
        {
            self.black(&window);
            return;
        }
        if part != window {
            self.black(&window);
        }
        let (own, depth) = (self.layout.components.names(), self.layout.depth);
        let same = own == names;
        let n = names.len();
        let left = (part.x1 - held.x1) as usize * n;
        let mut samples = vec![0.0; part.width() * own.len()];
        for y in part.y1..part.y2 {
            let Some(bytes) = self.bytes_mut(y, part.x1, part.x2) else {
                continue;
            };
            let row = &picture.row((held.y2 - 1 - y) as usize)[left..left + part.width() * n];
            if same {
                encode(row, depth, bytes);
            } else {
                rearrange(row, names, &mut samples, own);
                encode(&samples, depth, bytes);
            }
        }
    }

    /// Copies `window` from `from`: bit for bit where both have the same
    /// samples. What `from` does not have becomes black.
    pub fn copy(&mut self, window: &Rect, from: &Image<'_>) {
        let window = window.intersection(&self.layout.bounds);
        let part = window.intersection(&from.layout.bounds);
        if part != window {
            self.black(&window);
        }
        if part.is_empty() {
            return;
        }
        let (a, b) = (from.layout, self.layout);
        let same = a.depth == b.depth && a.components == b.components;
        let mut read = vec![0.0; part.width() * a.components.count()];
        let mut mapped = vec![0.0; part.width() * b.components.count()];
        for y in part.y1..part.y2 {
            let (Some(to), Some(bytes)) = (
                self.bytes_mut(y, part.x1, part.x2),
                from.bytes(y, part.x1, part.x2),
            ) else {
                continue;
            };
            if same {
                to.copy_from_slice(bytes);
            } else {
                decode(bytes, a.depth, &mut read);
                rearrange(
                    &read,
                    a.components.names(),
                    &mut mapped,
                    b.components.names(),
                );
                encode(&mapped, b.depth, to);
            }
        }
    }

    /// Makes `window` black and transparent.
    pub fn black(&mut self, window: &Rect) {
        let part = window.intersection(&self.layout.bounds);
        for y in part.y1..part.y2 {
            if let Some(bytes) = self.bytes_mut(y, part.x1, part.x2) {
                bytes.fill(0);
            }
        }
    }
}

/// Samples of the host's as floats; white is 1.
fn decode(bytes: &[u8], depth: Depth, out: &mut [f32]) {
    match depth {
        Depth::Byte => {
            for (o, &b) in out.iter_mut().zip(bytes) {
                *o = f32::from(b) / 255.0;
            }
        }
        Depth::Short => {
            for (o, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                *o = f32::from(u16::from_ne_bytes([b[0], b[1]])) / 65535.0;
            }
        }
        Depth::Half => {
            let mut block = [f16::ZERO; 256];
            for (o, b) in out.chunks_mut(256).zip(bytes.chunks(512)) {
                for (h, b) in block.iter_mut().zip(b.chunks_exact(2)) {
                    *h = f16::from_ne_bytes([b[0], b[1]]);
                }
                block[..o.len()].convert_to_f32_slice(o);
            }
        }
        Depth::Float => {
            for (o, b) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                *o = f32::from_ne_bytes([b[0], b[1], b[2], b[3]]);
            }
        }
    }
}

/// Floats as samples of the host's: rounded and clipped where whole numbers
/// are held.
fn encode(samples: &[f32], depth: Depth, bytes: &mut [u8]) {
    match depth {
        Depth::Byte => {
            for (b, &s) in bytes.iter_mut().zip(samples) {
                // A cast clips, and makes 0 of what is no number.
                *b = (s * 255.0 + 0.5) as u8;
            }
        }
        Depth::Short => {
            for (b, &s) in bytes.chunks_exact_mut(2).zip(samples) {
                b.copy_from_slice(&((s * 65535.0 + 0.5) as u16).to_ne_bytes());
            }
        }
        Depth::Half => {
            let mut block = [f16::ZERO; 256];
            for (b, s) in bytes.chunks_mut(512).zip(samples.chunks(256)) {
                block[..s.len()].convert_from_f32_slice(s);
                for (b, h) in b.chunks_exact_mut(2).zip(&block) {
                    b.copy_from_slice(&h.to_ne_bytes());
                }
            }
        }
        Depth::Float => {
            for (b, &s) in bytes.chunks_exact_mut(4).zip(samples) {
                b.copy_from_slice(&s.to_ne_bytes());
            }
        }
    }
}

/// Pixels with the samples `to` from pixels with the samples `from`. Alpha that
/// is not there is opaque, a colour that is not there is grey or black; a matte (alpha
/// alone) of a picture without alpha is its first sample.
fn rearrange(samples: &[f32], from: &[&str], out: &mut [f32], to: &[&str]) {
    enum Take {
        At(usize),
        Value(f32),
    }
    let takes: Vec<Take> = to
        .iter()
        .map(|&name| match from.iter().position(|&f| f == name) {
            Some(i) => Take::At(i),
            None if name != "A" && from.contains(&"Y") => {
                Take::At(from.iter().position(|&f| f == "Y").unwrap_or(0))
            }
            None if name == "A" && to.len() == 1 && !from.is_empty() => Take::At(0),
            None if name == "A" => Take::Value(1.0),
            None => Take::Value(0.0),
        })
        .collect();
    for (pixel, made) in samples
        .chunks_exact(from.len().max(1))
        .zip(out.chunks_exact_mut(to.len().max(1)))
    {
        for (m, take) in made.iter_mut().zip(&takes) {
            *m = match take {
                Take::At(i) => pixel[*i],
                Take::Value(v) => *v,
            };
        }
    }
}

#[cfg(test)]
mod tests;
