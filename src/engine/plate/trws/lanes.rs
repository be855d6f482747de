//! Numbers in the order that they are worked on, and some of them at once.

/// Nodes worked on at once: where the processor has registers of 512 bits, elsewhere.
pub(super) const WIDE: usize = 32;
pub(super) const LANES: usize = 16;

/// Numbers of which the first lies at the beginning of a cache line, since what crosses
/// lines takes twice as long to load.
#[derive(Clone, Default)]
pub(super) struct Plane {
    all: Vec<i16>,
    within: std::ops::Range<usize>,
}

impl Plane {
    /// `size` zeros.
    pub(super) fn reset(&mut self, size: usize) {
        self.all.clear();
        self.all.resize(size + WIDE, 0);
        let first = self.all.as_ptr().align_offset(2 * WIDE).min(WIDE);
        self.within = first..first + size;
    }
}

impl std::ops::Deref for Plane {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.all[self.within.clone()]
    }
}

impl std::ops::DerefMut for Plane {
    fn deref_mut(&mut self) -> &mut [i16] {
        &mut self.all[self.within.clone()]
    }
}

/// `of` of each pair of lanes. (A loop, since what `array::from_fn` does is not
/// turned into vectors.)
#[inline(always)]
pub(super) fn each<const L: usize>(
    a: [i16; L],
    b: [i16; L],
    of: impl Fn(i16, i16) -> i16,
) -> [i16; L] {
    let mut out = [0; L];
    for l in 0..L {
        out[l] = of(a[l], b[l]);
    }
    out
}

/// Lane by lane.
#[inline(always)]
pub(super) fn lanes<const L: usize>(of: impl Fn(usize) -> i16) -> [i16; L] {
    let mut out = [0; L];
    for (l, o) in out.iter_mut().enumerate() {
        *o = of(l);
    }
    out
}

/// All bits of a lane, or none.
#[inline(always)]
pub(super) fn mask(all: bool) -> i16 {
    -i16::from(all)
}

#[inline(always)]
pub(super) fn load<const L: usize>(from: &[i16], i: usize) -> [i16; L] {
    let mut lanes = [0; L];
    lanes.copy_from_slice(&from[i..i + L]);
    lanes
}
