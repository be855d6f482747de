//! Pixels of the host's, read and written in place.
//!
//! A host's picture counts rows from the bottom and may lay them out downwards
//! (negative row bytes), may cover any rectangle, and has samples of four
//! types. A [`Picture`] of ours counts rows from the top and holds floats. Each
//! pixel is converted once on its way in and once on its way out; a sample that
//! only passes through comes out bit for bit. A picture may lie in host memory or on a
//! GPU ([`Cuda`]).

mod bands;
mod cuda;
mod samples;

use std::marker::PhantomData;

use crate::frame::{Picture, Window};
use longtake_kernels::driver::DeviceError;
use samples::{decode, encode, rearrange};

pub use cuda::Cuda;
pub(super) use samples::rearranged;

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
    /// The GPU that `data` is an address of; none where it is host memory.
    cuda: Option<&'a Cuda>,
    lent: PhantomData<&'a mut [u8]>,
}

// SAFETY: an image is to its bytes what `&mut [u8]` is: nobody else's while it
// lives, read through `&self` and written through `&mut self` alone.
unsafe impl Send for Image<'_> {}
// SAFETY: as above.
unsafe impl Sync for Image<'_> {}

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
            cuda: None,
            lent: PhantomData,
        };
        let fits = layout.row_bytes.unsigned_abs() >= image.row_len();
        let there = !data.is_null() && !layout.bounds.is_empty();
        // One row needs no stride.
        (there && (fits || layout.bounds.height() == 1)).then_some(image)
    }

    /// The GPU that it lies on, if it does.
    pub(super) fn cuda(&self) -> Option<&'a Cuda> {
        self.cuda
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
        let here = self.cuda.is_none();
        let inside = here && (b.y1..b.y2).contains(&y) && b.x1 <= x1 && x1 <= x2 && x2 <= b.x2;
        let from = |x: i32| (x - b.x1) as usize * self.pixel_len();
        inside.then(|| from(x1)..from(x2))
    }

    /// The pixels of rectangle `canvas` as a picture with the samples `names`;
    /// black where the image has none.
    ///
    /// # Errors
    /// Where the image lies on a GPU that fails.
    pub fn to_picture(&self, canvas: &Rect, names: &[&str]) -> Result<Picture, DeviceError> {
        let mut picture = Picture::new(canvas.width(), canvas.height(), names.len());
        let part = canvas.intersection(&self.layout.bounds);
        if !part.is_empty() {
            match self.cuda {
                Some(cuda) => self.fetch_into(cuda, &part, canvas, names, &mut picture)?,
                None => self.decode_into(&part, canvas, names, &mut picture),
            }
        }
        Ok(picture)
    }

    /// Puts the pixels of `part`, which both have, into `picture` of `canvas`, with the
    /// samples `names`.
    fn decode_into(&self, part: &Rect, canvas: &Rect, names: &[&str], picture: &mut Picture) {
        let n = names.len();
        let own = self.layout.components.names();
        let same = own == names;
        let left = (part.x1 - canvas.x1) as usize * n;
        let width = picture.width() * n;
        let first = (canvas.y2 - part.y2) as usize * width;
        let rows = &mut picture.data_mut()[first..][..part.height() * width];
        self.in_bands_to(part, rows, width, |top, rows| {
            let mut samples = vec![0.0; if same { 0 } else { part.width() * own.len() }];
            for (y, row) in (i32::MIN..=top)
                .rev()
                .zip(rows.chunks_exact_mut(width.max(1)))
            {
                let Some(bytes) = self.bytes(y, part.x1, part.x2) else {
                    continue;
                };
                let row = &mut row[left..left + part.width() * n];
                if same {
                    decode(bytes, self.layout.depth, row);
                } else {
                    decode(bytes, self.layout.depth, &mut samples);
                    rearrange(&samples, own, row, names);
                }
            }
        });
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
        self.write_rows(&window, &held, picture.data(), names);
    }

    /// Writes what `window` and the rectangle `held` have in common from the pixels
    /// of `held`, row by row from its top, with the samples `names`.
    pub fn write_rows(&mut self, window: &Rect, held: &Rect, pixels: &[f32], names: &[&str]) {
        let n = names.len();
        let part = window.intersection(held).intersection(&self.layout.bounds);
        if part.is_empty() || pixels.len() != held.width() * held.height() * n {
            return;
        }
        if let Some(cuda) = self.cuda {
            return self.send(cuda, &part, |band, part| {
                band.write_rows(part, held, pixels, names);
            });
        }
        let left = (part.x1 - held.x1) as usize * n;
        self.in_bands(&part, |band, part| {
            let (own, depth) = (band.layout.components.names(), band.layout.depth);
            let same = own == names;
            let mut samples = vec![0.0; if same { 0 } else { part.width() * own.len() }];
            for y in part.y1..part.y2 {
                let Some(bytes) = band.bytes_mut(y, part.x1, part.x2) else {
                    continue;
                };
                let start = (held.y2 - 1 - y) as usize * held.width() * n + left;
                let row = &pixels[start..start + part.width() * n];
                if same {
                    encode(row, depth, bytes);
                } else {
                    rearrange(row, names, &mut samples, own);
                    encode(&samples, depth, bytes);
                }
            }
        });
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
        if self.cuda.is_some() || from.cuda.is_some() {
            return self.copy_on_gpu(&part, from);
        }
        let (a, b) = (from.layout, self.layout);
        let same = a.depth == b.depth && a.components == b.components;
        self.in_bands(&part, |band, part| {
            let len = |c: Components| if same { 0 } else { part.width() * c.count() };
            let mut read = vec![0.0; len(a.components)];
            let mut mapped = vec![0.0; len(b.components)];
            for y in part.y1..part.y2 {
                let (Some(to), Some(bytes)) = (
                    band.bytes_mut(y, part.x1, part.x2),
                    from.bytes(y, part.x1, part.x2),
                ) else {
                    continue;
                };
                if same {
                    to.copy_from_slice(bytes);
                    continue;
                }
                decode(bytes, a.depth, &mut read);
                rearrange(
                    &read,
                    a.components.names(),
                    &mut mapped,
                    b.components.names(),
                );
                encode(&mapped, b.depth, to);
            }
        });
    }

    /// Makes `window` black and transparent.
    pub fn black(&mut self, window: &Rect) {
        let part = window.intersection(&self.layout.bounds);
        if let Some(cuda) = self.cuda {
            return self.clear_on_gpu(cuda, &part);
        }
        for y in part.y1..part.y2 {
            if let Some(bytes) = self.bytes_mut(y, part.x1, part.x2) {
                bytes.fill(0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
