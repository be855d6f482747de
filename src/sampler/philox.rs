//! Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as
//! easy as 1, 2, 3", SC 2011): a counter-based generator, so that any machine
//! that makes any piece of a sequence draws the same numbers.

use longtake_kernels::philox::{normal, philox4x32, uniform};

/// A stream of random numbers, fixed by a seed and a place in the work.
#[derive(Clone, Debug)]
pub struct Philox {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Philox {
    /// The stream of `place` (what is being decided, for instance an event and
    /// its attempt) under `seed`. Streams of different places are independent.
    pub fn new(seed: u64, place: [u32; 3]) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter: [0, place[0], place[1], place[2]],
            block: [0; 4],
            used: 4,
        }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox4x32(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// Uniform in 0..1, a multiple of 2⁻³².
    pub fn uniform(&mut self) -> f64 {
        uniform(self.next_u32())
    }

    /// Uniform in 0..n; `n` must not be 0.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// Normally distributed, mean 0 and deviation 1 (Box–Muller on portable
    /// functions, so that every machine agrees to the last bit).
    pub fn normal(&mut self) -> f64 {
        normal(self.next_u32(), self.next_u32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_different_places_differ() {
        let mut a = Philox::new(1, [0, 0, 0]);
        let mut b = Philox::new(1, [0, 0, 1]);
        assert_ne!(
            (0..8).map(|_| a.next_u32()).collect::<Vec<_>>(),
            (0..8).map(|_| b.next_u32()).collect::<Vec<_>>()
        );
    }
}
