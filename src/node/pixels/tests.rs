use half::f16;
use proptest::prelude::*;

use super::*;

/// Memory of a host's, with rows padded and laid out upwards or downwards, and
/// a border that nobody may touch.
struct Memory {
    bytes: Vec<u8>,
    start: usize,
    layout: Layout,
}

const GUARD: u8 = 0xA5;

impl Memory {
    fn new(bounds: Rect, depth: Depth, components: Components, pad: usize, down: bool) -> Self {
        let row = bounds.width() * components.count() * depth.bytes();
        let stride = row + pad;
        let bytes = vec![GUARD; stride * bounds.height() + 64];
        let last = stride * (bounds.height() - 1);
        Self {
            bytes,
            start: 32 + if down { last } else { 0 },
            layout: Layout {
                row_bytes: if down {
                    -(stride as isize)
                } else {
                    stride as isize
                },
                bounds,
                region: None,
                depth,
                components,
                premultiplied: true,
            },
        }
    }

    fn image(&mut self) -> Image<'_> {
        let start = self.bytes[self.start..].as_mut_ptr();
        // Derived from the whole vector, since rows may lie below `start`.
        let base = self.bytes.as_mut_ptr();
        let data = base.wrapping_add(start as usize - base as usize);
        // SAFETY: `new` sized the vector for the layout.
        unsafe { Image::new(data, self.layout) }.unwrap()
    }

    /// Writes a sample by its address, as a host would.
    fn put(&mut self, x: i32, y: i32, k: usize, sample: &[u8]) {
        let at = self.address(x, y, k);
        self.bytes[at..at + sample.len()].copy_from_slice(sample);
    }

    fn get(&self, x: i32, y: i32, k: usize) -> &[u8] {
        let at = self.address(x, y, k);
        &self.bytes[at..at + self.layout.depth.bytes()]
    }

    fn address(&self, x: i32, y: i32, k: usize) -> usize {
        let b = self.layout.bounds;
        let d = self.layout.depth.bytes();
        let row = (y - b.y1) as isize * self.layout.row_bytes;
        let column = ((x - b.x1) as usize * self.layout.components.count() + k) * d;
        (self.start as isize + row) as usize + column
    }
}

fn rect(x1: i32, y1: i32, x2: i32, y2: i32) -> Rect {
    Rect { x1, y1, x2, y2 }
}

/// A sample of each type that is different at every place.
fn sample(depth: Depth, x: i32, y: i32, k: usize) -> Vec<u8> {
    let n = (x * 31 + y * 57 + k as i32 * 101).rem_euclid(251);
    match depth {
        Depth::Byte => vec![n as u8],
        Depth::Short => (n as u16 * 257 + 3).to_ne_bytes().to_vec(),
        Depth::Half => f16::from_f32(n as f32 * 0.37 - 20.0).to_ne_bytes().to_vec(),
        Depth::Float => (n as f32 * 1.7 - 90.0).to_ne_bytes().to_vec(),
    }
}

fn filled(mut memory: Memory) -> Memory {
    let (b, depth) = (memory.layout.bounds, memory.layout.depth);
    for y in b.y1..b.y2 {
        for x in b.x1..b.x2 {
            for k in 0..memory.layout.components.count() {
                memory.put(x, y, k, &sample(depth, x, y, k));
            }
        }
    }
    memory
}

fn depths() -> impl Strategy<Value = Depth> {
    prop_oneof![
        Just(Depth::Byte),
        Just(Depth::Short),
        Just(Depth::Half),
        Just(Depth::Float)
    ]
}

fn components() -> impl Strategy<Value = Components> {
    prop_oneof![
        Just(Components::Rgba),
        Just(Components::Rgb),
        Just(Components::Alpha)
    ]
}

fn rects() -> impl Strategy<Value = Rect> {
    (-9..9i32, -9..9i32, 1..12i32, 1..12i32).prop_map(|(x, y, w, h)| rect(x, y, x + w, y + h))
}

proptest! {
    /// In and out again, through any canvas, window and memory: the samples
    /// inside all of them are the host's own bytes, those inside the window
    /// alone are black, and nothing else is touched.
    #[test]
    fn pixels_pass_through_bit_for_bit(
        depth in depths(),
        kind in components(),
        from in rects(),
        to in rects(),
        canvas in rects(),
        window in rects(),
        pads in (0..9usize, 0..9usize),
        down in (any::<bool>(), any::<bool>()),
    ) {
        let mut source = filled(Memory::new(from, depth, kind, pads.0, down.0));
        let mut target = Memory::new(to, depth, kind, pads.1, down.1);
        let picture = source.image().to_picture(&canvas, kind.names()).unwrap();
        prop_assert_eq!((picture.width(), picture.height()), (canvas.width(), canvas.height()));
        target.image().write(&window, &canvas, &picture, kind.names());
        for y in to.y1..to.y2 {
            for x in to.x1..to.x2 {
                let within = |r: &Rect| r.x1 <= x && x < r.x2 && r.y1 <= y && y < r.y2;
                for k in 0..kind.count() {
                    let got = target.get(x, y, k);
                    if !within(&window) {
                        prop_assert!(got.iter().all(|&b| b == GUARD));
                    } else if within(&canvas) && within(&from) {
                        prop_assert_eq!(got, &sample(depth, x, y, k)[..]);
                    } else {
                        prop_assert!(got.iter().all(|&b| b == 0));
                    }
                }
            }
        }
        // The copy of a kept frame says the same.
        let mut copied = Memory::new(to, depth, kind, pads.1, down.1);
        copied.image().copy(&window, &source.image());
        let through = window.intersection(&canvas);
        for y in to.y1..to.y2 {
            for x in to.x1..to.x2 {
                if through.x1 <= x && x < through.x2 && through.y1 <= y && y < through.y2 {
                    prop_assert_eq!(copied.get(x, y, 0), target.get(x, y, 0));
                }
            }
        }
    }

    /// A picture that holds just the window is written as the same part of a
    /// whole one is.
    #[test]
    fn a_window_fits_into_the_whole(canvas in rects(), window in rects()) {
        let mut source = filled(Memory::new(canvas, Depth::Float, Components::Rgba, 0, false));
        let names = Components::Rgba.names();
        let part = window.intersection(&canvas);
        prop_assume!(!part.is_empty());
        let (whole, piece) = {
            let image = source.image();
            (image.to_picture(&canvas, names).unwrap(), image.to_picture(&part, names).unwrap())
        };
        let mut a = Memory::new(window, Depth::Float, Components::Rgba, 0, false);
        let mut b = Memory::new(window, Depth::Float, Components::Rgba, 0, false);
        a.image().write(&window, &canvas, &whole, names);
        b.image().write(&window, &canvas, &piece, names);
        prop_assert_eq!(a.bytes, b.bytes);
    }
}

/// Large pictures are written by several threads, small ones (above) by one.
#[test]
fn a_large_picture_passes_through_bit_for_bit_too() {
    let (canvas, window) = (rect(-3, 5, 1197, 705), rect(2, 1, 1210, 690));
    let (depth, kind) = (Depth::Float, Components::Rgba);
    let mut source = filled(Memory::new(canvas, depth, kind, 7, false));
    let picture = source.image().to_picture(&canvas, kind.names()).unwrap();
    let mut target = Memory::new(window, depth, kind, 5, true);
    target
        .image()
        .write(&window, &canvas, &picture, kind.names());
    let mut copied = Memory::new(window, depth, kind, 5, true);
    copied.image().copy(&window, &source.image());
    assert!(copied.bytes == target.bytes, "a copy says the same");
    let part = window.intersection(&canvas);
    for y in window.y1..window.y2 {
        for x in window.x1..window.x2 {
            let within = (part.x1..part.x2).contains(&x) && (part.y1..part.y2).contains(&y);
            for k in 0..4 {
                let sample = sample(depth, x, y, k);
                let due: &[u8] = if within { &sample } else { &[0; 4] };
                assert_eq!(target.get(x, y, k), due, "{x} {y} {k}");
            }
        }
    }
}

#[test]
fn every_code_of_each_integer_type_survives() {
    for depth in [Depth::Byte, Depth::Short] {
        let codes = if depth == Depth::Byte { 256 } else { 65536 };
        let bytes: Vec<u8> = (0..codes)
            .flat_map(|c: u32| c.to_ne_bytes()[..depth.bytes()].to_vec())
            .collect();
        let mut floats = vec![0.0; codes as usize];
        decode(&bytes, depth, &mut floats);
        let mut back = vec![0; bytes.len()];
        encode(&floats, depth, &mut back);
        assert_eq!(bytes, back);
        assert_eq!(*floats.last().unwrap(), 1.0, "white is 1");
    }
}

#[test]
fn values_beyond_the_type_are_clipped() {
    let mut bytes = [9u8; 4];
    encode(&[-2.0, 7.0, f32::NAN, 0.5], Depth::Byte, &mut bytes);
    assert_eq!(bytes, [0, 255, 0, 128]);
}

#[test]
fn samples_are_found_by_name() {
    let mut out = [0.0; 4];
    rearrange(
        &[0.1, 0.2, 0.3],
        &["R", "G", "B"],
        &mut out,
        &["R", "G", "B", "A"],
    );
    assert_eq!(out, [0.1, 0.2, 0.3, 1.0], "what has no alpha is opaque");
    let mut matte = [0.0];
    rearrange(
        &[0.1, 0.2, 0.3, 0.4],
        &["R", "G", "B", "A"],
        &mut matte,
        &["A"],
    );
    assert_eq!(matte, [0.4]);
    rearrange(&[0.1, 0.2, 0.3], &["R", "G", "B"], &mut matte, &["A"]);
    assert_eq!(matte, [0.1]);
}

#[test]
fn a_layout_that_cannot_be_is_refused() {
    let mut memory = Memory::new(rect(0, 0, 4, 4), Depth::Float, Components::Rgba, 0, false);
    let data = memory.bytes.as_mut_ptr();
    let with = |change: &dyn Fn(&mut Layout), data: *mut u8| {
        let mut layout = memory.layout;
        change(&mut layout);
        // SAFETY: never read, the question is whether it is refused.
        unsafe { Image::new(data, layout) }.is_some()
    };
    assert!(with(&|_| (), data));
    assert!(!with(&|_| (), std::ptr::null_mut()));
    assert!(!with(&|l| l.row_bytes = 8, data));
    assert!(!with(&|l| l.bounds.x2 = l.bounds.x1, data));
    assert!(!with(&|l| l.bounds.y1 = l.bounds.y2 + 3, data));
}
