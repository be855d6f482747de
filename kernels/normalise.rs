//! What lies between two convolutions of a VAE; the twin of `normalise.cu`.

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};
use crate::number::{Number, pick};

/// How what is read lies in memory; height and width are those of what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// As what is written: [positions, channels].
    Same,
    /// As a convolution of 2 × 2 gives it that makes four of each position:
    /// [frames, height / 2 + 1, width / 2 + 1, 2, 2, channels]. Child (y, x) of a position
    /// lies with the window that begins y rows and x columns behind the first.
    Doubled {
        /// Of what comes out, even.
        height: usize,
        /// Of what comes out, even.
        width: usize,
    },
    /// As a convolution gives it that makes two frames of one:
    /// [frames / 2, height, width, 2, channels].
    Paired {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
}

impl Walk {
    /// Numbers that lie there for so many positions that come out; none where these are
    /// no whole frames.
    pub fn places(self, positions: usize) -> Option<usize> {
        let (height, width, by) = match self {
            Self::Same => return Some(positions),
            Self::Doubled { height, width } => (height, width, [2, 2]),
            Self::Paired { height, width } => (height, width, [1, 1]),
        };
        let frame = height * width;
        let whole = positions.is_multiple_of(frame)
            && height.is_multiple_of(by[0])
            && width.is_multiple_of(by[1]);
        if frame == 0 || !whole {
            return None;
        }
        let frames = positions / frame;
        match self {
            Self::Doubled { .. } => Some(frames * (height / 2 + 1) * (width / 2 + 1) * 4),
            _ => frames.is_multiple_of(2).then_some(positions),
        }
    }

    /// How many biases a channel has.
    pub fn biases(self) -> usize {
        match self {
            Self::Paired { .. } => 2,
            _ => 1,
        }
    }

    /// In which of them position `p` is found.
    fn place(self, p: usize) -> usize {
        match self {
            Self::Same => p,
            Self::Doubled { height, width } => {
                let (x, y, frame) = (p % width, p / width % height, p / (width * height));
                let (down, across) = (y % 2, x % 2);
                let line = frame * (height / 2 + 1) + y / 2 + down;
                (line * (width / 2 + 1) + x / 2 + across) * 4 + 2 * down + across
            }
            Self::Paired { height, width } => {
                let (at, frame) = (p % (width * height), p / (width * height));
                (frame / 2 * height * width + at) * 2 + frame % 2
            }
        }
    }
}

/// What is added up.
#[derive(Clone, Copy, Debug)]
pub struct Sum<A, F> {
    /// What is handed on.
    pub x: A,
    /// How it lies.
    pub walk: Walk,
    /// What is added to it, [positions, channels].
    pub branch: Option<A>,
    /// What is added at every position, [channels]; of [`Walk::Paired`] [2, channels].
    pub bias: Option<F>,
}

/// What becomes of the sum.
#[derive(Clone, Copy, Debug)]
pub struct Scale<F> {
    /// What each channel of a sum of length 1 is multiplied by.
    pub gain: F,
    /// Whether SiLU follows.
    pub silu: bool,
    /// Positions of a row where each row of what is written has one position more before
    /// it and one behind, which are left as they are; none where rows lie side by side.
    pub fenced: Option<usize>,
}

impl<F> Scale<F> {
    /// Positions that are there for so many that are written; none where these are no
    /// whole rows.
    fn places(&self, positions: usize) -> Option<usize> {
        match self.fenced {
            None => Some(positions),
            Some(0) => None,
            Some(row) if !positions.is_multiple_of(row) => None,
            Some(row) => Some(positions + 2 * (positions / row)),
        }
    }

    /// In which of them position `p` lies.
    fn place(&self, p: usize) -> usize {
        self.fenced.map_or(p, |row| p + 2 * (p / row) + 1)
    }

    /// How many positions are written where there are so many.
    fn positions(&self, places: usize) -> usize {
        self.fenced.map_or(places, |row| places / (row + 2) * row)
    }
}

/// `v = x + branch + bias` at each position of `channels` channels goes to `trunk`, and
/// `v / |v| · gain`, then SiLU, to `out`; each where it is asked for.
///
/// # Panics
/// Where the lengths do not go together.
pub fn normalise<T: Number>(
    sum: &Sum<&[T], &[f32]>,
    channels: usize,
    trunk: Option<&mut [T]>,
    out: Option<(Scale<&[f32]>, &mut [T])>,
) {
    let positions = match (&trunk, &out) {
        (Some(trunk), _) => trunk.len() / channels,
        (None, Some((scale, out))) => scale.positions(out.len() / channels),
        (None, None) => 0,
    };
    assert_eq!(sum.walk.places(positions), Some(sum.x.len() / channels));
    let mut values = vec![0.0; positions * channels];
    for (p, v) in values.chunks_exact_mut(channels).enumerate() {
        let place = sum.walk.place(p);
        let x = &sum.x[place * channels..][..channels];
        let second = (sum.walk.biases() - 1) * (place % 2) * channels;
        for (c, v) in v.iter_mut().enumerate() {
            *v = x[c].widen();
            if let Some(branch) = sum.branch {
                *v += branch[p * channels + c].widen();
            }
            if let Some(bias) = sum.bias {
                *v += bias[second + c];
            }
        }
    }
    if let Some(trunk) = trunk {
        for (to, v) in trunk.iter_mut().zip(&values) {
            *to = T::narrow(*v);
        }
    }
    let Some((scale, out)) = out else {
        return;
    };
    assert_eq!(scale.places(positions), Some(out.len() / channels));
    for (p, v) in values.chunks_exact(channels).enumerate() {
        let out = &mut out[scale.place(p) * channels..][..channels];
        let length = v.iter().map(|v| v * v).sum::<f32>().sqrt();
        let by = 1.0 / length.max(1e-12);
        for (c, out) in out.iter_mut().enumerate() {
            let n = v[c] * by * scale.gain[c];
            *out = T::narrow(match scale.silu {
                true => n / (1.0 + libm::expf(-n)),
                false => n,
            });
        }
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    x: u64,
    branch: u64,
    bias: u64,
    gain: u64,
    trunk: u64,
    out: u64,
    positions: u32,
    channels: u32,
    silu: u32,
    lanes: u32,
    walk: u32,
    height: u32,
    width: u32,
    fenced: u32,
}

/// Numbers of 16 bytes that a lane holds at most.
const RUNS: usize = 5;
const THREADS: u32 = 256;

/// Queues [`normalise`] on a device. `trunk` may be what is read, where that lies as it
/// is written.
pub fn launch<T: Number>(
    stream: &Stream,
    sum: &Sum<Part<'_, T>, Part<'_, f32>>,
    channels: usize,
    trunk: Option<PartMut<'_, T>>,
    out: Option<(Scale<Part<'_, f32>>, PartMut<'_, T>)>,
) -> Result<(), DeviceError> {
    const CALL: &str = "normalise";
    let places = match (&trunk, &out) {
        (Some(trunk), _) => trunk.len(),
        (None, Some((_, out))) => out.len(),
        (None, None) => 0,
    };
    if places == 0 {
        return Ok(());
    }
    let missing = || DeviceError::missing(CALL);
    if channels == 0 || !places.is_multiple_of(channels) {
        return Err(missing());
    }
    let positions = match (&trunk, &out) {
        (None, Some((scale, _))) => scale.positions(places / channels),
        _ => places / channels,
    };
    let count = positions * channels;
    let places = sum.walk.places(positions).ok_or_else(missing)?;
    sum.x.check(CALL, places * channels)?;
    let mut argument = Arguments {
        x: sum.x.address(),
        branch: 0,
        bias: 0,
        gain: 0,
        trunk: 0,
        out: 0,
        positions: u32::try_from(positions).map_err(|_| missing())?,
        channels: channels as u32,
        silu: 0,
        lanes: 1,
        walk: 0,
        height: 1,
        width: 1,
        fenced: 0,
    };
    if let Some(branch) = &sum.branch {
        branch.check(CALL, count)?;
        argument.branch = branch.address();
    }
    if let Some(bias) = &sum.bias {
        bias.check(CALL, sum.walk.biases() * channels)?;
        argument.bias = bias.address();
    }
    if let Some(trunk) = &trunk {
        trunk.check(CALL, count)?;
        argument.trunk = trunk.address();
    }
    if let Some((scale, out)) = &out {
        let places = scale.places(positions).ok_or_else(missing)?;
        out.check(CALL, places * channels)?;
        scale.gain.check(CALL, channels)?;
        argument.fenced = scale.fenced.unwrap_or(0) as u32;
        argument.out = out.address();
        argument.gain = scale.gain.address();
        argument.silu = u32::from(scale.silu);
    }
    (argument.walk, argument.height, argument.width) = match sum.walk {
        Walk::Same => (0, 1, 1),
        Walk::Doubled { height, width } => (1, height as u32, width as u32),
        Walk::Paired { height, width } => (2, height as u32, width as u32),
    };
    let wide = 16 / size_of::<T>();
    let addresses = [argument.x, argument.branch, argument.trunk, argument.out];
    let whole = channels.is_multiple_of(wide) && addresses.iter().all(|a| a % 16 == 0);
    let (name, runs) = match whole {
        true => (
            pick::<T>(["normalise_f32", "normalise_f16", "normalise_bf16"]),
            channels / wide,
        ),
        false => (
            pick::<T>([
                "normalise_f32_odd",
                "normalise_f16_odd",
                "normalise_bf16_odd",
            ]),
            channels,
        ),
    };
    let lanes = runs.div_ceil(RUNS).next_power_of_two();
    if lanes > 32 {
        return Err(missing());
    }
    argument.lanes = lanes as u32;
    let grid = Grid::over(positions * lanes, THREADS);
    // SAFETY: lanes for each position; lengths were checked.
    unsafe { stream.launch(CALL, name, grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_joins_the_trunk_and_the_sum_is_normed() {
        let sum = Sum {
            x: &[1.0f32, 2.0, 0.0, 0.0][..],
            walk: Walk::Same,
            branch: Some(&[1.0, 1.0, 0.0, 0.0][..]),
            bias: Some(&[1.0, 1.0][..]),
        };
        let (mut trunk, mut out) = ([0.0; 4], [0.0; 4]);
        let scale = Scale {
            gain: &[10.0, 5.0][..],
            silu: false,
            fenced: None,
        };
        normalise(&sum, 2, Some(&mut trunk), Some((scale, &mut out)));
        assert_eq!(trunk, [3.0, 4.0, 1.0, 1.0]);
        assert!((out[0] - 6.0).abs() < 1e-6 && (out[1] - 4.0).abs() < 1e-6);
        // Two rows of one position, each with one before and one behind.
        let mut fenced = [9.0; 12];
        let scale = Scale {
            fenced: Some(1),
            ..scale
        };
        normalise(&sum, 2, None, Some((scale, &mut fenced)));
        let [a, b] = [&out[..2], &out[2..]];
        assert_eq!(fenced[..], [&[9.0; 2], a, &[9.0; 4], b, &[9.0; 2]].concat());
    }

    #[test]
    fn what_was_doubled_is_found_in_its_place() {
        // Windows (2 + 1) x (1 + 1), four children each, numbered through.
        let x: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let mut trunk = [0.0; 8];
        let walk = Walk::Doubled {
            height: 4,
            width: 2,
        };
        let sum = Sum {
            x: &x[..],
            walk,
            branch: None,
            bias: None,
        };
        normalise(&sum, 1, Some(&mut trunk), None);
        // Of window (y + down, x + across) child (down, across).
        assert_eq!(trunk, [0.0, 5.0, 10.0, 15.0, 8.0, 13.0, 18.0, 23.0]);
        let walk = Walk::Paired {
            height: 1,
            width: 2,
        };
        let mut trunk = [0.0; 8];
        let sum = Sum {
            walk,
            x: &x[..8],
            ..sum
        };
        normalise(&sum, 1, Some(&mut trunk), None);
        assert_eq!(trunk, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }
}
