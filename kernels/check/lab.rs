//! What checks are made with: random numbers that are the same in every run, guarded
//! buffers, comparison.

use std::sync::Arc;

use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::driver::{Buffer, Device, DeviceError, Part, PartMut, Plain, Stream};
use longtake_kernels::philox::{normal, philox4x32};

/// Values on either side of a guarded buffer; 256 bytes or more of any kind, so that
/// what lies between is aligned as an allocation is.
const GUARD: usize = 256;

/// What outputs and their guards hold at first: no result of a check, and no NaN, which
/// a kernel that reads beside its inputs would hand on.
pub const UNSEEN: f32 = -12288.0;

/// Where checks run.
pub struct Lab {
    pub stream: Stream,
    emulated: bool,
    counter: u32,
    key: u32,
}

/// A buffer between two guards that nothing may write.
pub struct Guarded<T: Plain> {
    buffer: Buffer<T>,
    len: usize,
    guard: T,
}

impl Lab {
    pub fn new(device: &Arc<Device>, name: &str) -> Result<Self, Failed> {
        let key = name
            .bytes()
            .fold(5381u32, |h, b| h.wrapping_mul(33) ^ u32::from(b));
        let stream = Stream::new(device)?;
        Ok(Self {
            stream,
            emulated: device.is_emulation(),
            counter: 0,
            key,
        })
    }

    /// `size` where something is measured; in the emulation, where measuring is only
    /// tried, `small`.
    pub fn size<T>(&self, size: T, small: T) -> T {
        if self.emulated { small } else { size }
    }

    pub fn word(&mut self) -> u32 {
        self.counter += 1;
        philox4x32([self.counter, 0, 0, 1], [self.key, 0])[0]
    }

    /// Of 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.word()) * n as u64) >> 32) as usize
    }

    /// Normal numbers.
    pub fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| normal(self.word(), self.word()) as f32)
            .collect()
    }

    /// Normal numbers in another precision.
    pub fn tensor<T: Number>(&mut self, count: usize) -> Vec<T> {
        self.numbers(count).into_iter().map(T::narrow).collect()
    }

    /// `values` between guards.
    pub fn guarded<T: Plain>(&self, values: &[T], guard: T) -> Result<Guarded<T>, DeviceError> {
        let mut all = vec![guard; values.len() + 2 * GUARD];
        all[GUARD..GUARD + values.len()].copy_from_slice(values);
        Ok(Guarded {
            buffer: self.stream.upload(&all)?,
            len: values.len(),
            guard,
        })
    }

    /// Room for `len` values between guards; it holds the guard, too.
    pub fn room<T: Plain>(&self, len: usize, guard: T) -> Result<Guarded<T>, DeviceError> {
        self.guarded(&vec![guard; len], guard)
    }

    /// What a buffer holds now; fails where a guard was written.
    pub fn read<T: Plain + Default + PartialEq>(&self, of: &Guarded<T>) -> Result<Vec<T>, Failed> {
        let mut all = self.stream.download(&of.buffer)?;
        let bytes = |v: T| -> Vec<u8> {
            // SAFETY: `Plain` has no padding.
            unsafe { std::slice::from_raw_parts(std::ptr::from_ref(&v).cast(), size_of::<T>()) }
                .to_vec()
        };
        let whole = |v: &[T]| v.iter().all(|v| bytes(*v) == bytes(of.guard));
        if !whole(&all[..GUARD]) {
            return Err("the kernel wrote in front of a buffer".into());
        }
        if !whole(&all[GUARD + of.len..]) {
            return Err("the kernel wrote behind the end of a buffer".into());
        }
        all.truncate(GUARD + of.len);
        all.drain(..GUARD);
        Ok(all)
    }
}

impl<T: Plain> Guarded<T> {
    pub fn part(&self) -> Part<'_, T> {
        self.buffer.part_of(GUARD, self.len)
    }

    pub fn part_mut(&mut self) -> PartMut<'_, T> {
        self.buffer.part_mut_of(GUARD, self.len)
    }
}

/// Fails where `found` differs from `twin` by a bit; zeros of either sign are equal,
/// and so are all that are no numbers.
pub fn same(what: &str, found: &[f32], twin: &[f32]) -> Result<(), Failed> {
    if found.len() != twin.len() {
        return Err(format!("{what}: {} values, {} expected", found.len(), twin.len()).into());
    }
    let differ = |(a, b): (&f32, &f32)| a != b && !(a.is_nan() && b.is_nan());
    match found.iter().zip(twin).position(differ) {
        None => Ok(()),
        Some(i) => {
            let count = found.iter().zip(twin).filter(|p| differ(*p)).count();
            Err(format!(
                "{what}: value {i} of {} is {:e}, the twin has {:e}; {count} differ",
                found.len(),
                found[i],
                twin[i]
            )
            .into())
        }
    }
}

/// Fails where `found` differs from `twin`.
pub fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &[T],
    twin: &[T],
) -> Result<(), Failed> {
    if found.len() != twin.len() {
        return Err(format!("{what}: {} values, {} expected", found.len(), twin.len()).into());
    }
    match found.iter().zip(twin).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(i) => Err(format!(
            "{what}: value {i} is {:?}, the twin has {:?}",
            found[i], twin[i]
        )
        .into()),
    }
}

/// Fails where a value of `found` is further than `bound` · (1 + |twin|) from the
/// twin's.
pub fn near<T: Number>(what: &str, found: &[T], twin: &[T], bound: f32) -> Result<(), Failed> {
    if found.len() != twin.len() {
        return Err(format!("{what}: {} values, {} expected", found.len(), twin.len()).into());
    }
    for (i, (a, b)) in found.iter().zip(twin).enumerate() {
        let (a, b) = (a.widen(), b.widen());
        let far = (a - b).abs() / (1.0 + b.abs());
        if far.is_nan() || far > bound {
            return Err(format!("{what}: value {i} is {a}, the twin has {b}").into());
        }
    }
    Ok(())
}
