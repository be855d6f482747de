//! The shortcuts around the levels of Wan 2.2's VAE; the twin of `shortcut.cu`.

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};
use crate::number::{Number, pick};

/// Which way a shortcut goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From channels to cells of pixels and pairs of frames.
    Up,
    /// From these to channels.
    Down,
}

/// A shortcut around a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcut {
    /// Which way.
    pub direction: Direction,
    /// Frames, rows and columns of what is read.
    pub size: [usize; 3],
    /// Channels that are read.
    pub from: usize,
    /// Channels that are given.
    pub to: usize,
    /// Pixels of a cell's side, 1 or 2.
    pub side: usize,
    /// Frames of a cell, 1 or 2.
    pub pair: usize,
    /// Frames of the first cell that are not there: the video begins behind them.
    pub missing: usize,
}

impl Shortcut {
    /// Frames, rows and columns of what is given.
    pub fn made(&self) -> [usize; 3] {
        let [frames, height, width] = self.size;
        let (side, pair) = (self.side.max(1), self.pair.max(1));
        match self.direction {
            Direction::Up => {
                let frames = (frames * pair).saturating_sub(self.missing);
                [frames, height * side, width * side]
            }
            Direction::Down => {
                let frames = (frames + self.missing) / pair;
                [frames, height / side, width / side]
            }
        }
    }

    fn cells(&self) -> usize {
        self.pair * self.side * self.side
    }

    /// Numbers that are read, and that are given; none where channels are no whole groups.
    pub fn lengths(&self) -> Option<[usize; 2]> {
        let count = |size: [usize; 3]| size.iter().product::<usize>();
        let cells = self.cells();
        let whole = match self.direction {
            Direction::Up => (self.to * cells).checked_rem(self.from) == Some(0),
            Direction::Down => (self.from * cells).checked_rem(self.to) == Some(0),
        };
        let enough = self.direction == Direction::Down || self.to * cells >= self.from;
        let numbers = [count(self.size) * self.from, count(self.made()) * self.to];
        (whole && enough && cells > 0 && self.missing < self.pair).then_some(numbers)
    }
}

/// What `x` becomes on the way around a level.
///
/// # Panics
/// Where the lengths do not go together.
pub fn shortcut<T: Number>(of: &Shortcut, x: &[T], out: &mut [T]) {
    assert_eq!(of.lengths(), Some([x.len(), out.len()]));
    let ([_, height, width], [_, rows, columns]) = (of.size, of.made());
    let (side, cells) = (of.side, of.cells());
    for (n, out) in out.iter_mut().enumerate() {
        let (o, p) = (n % of.to, n / of.to);
        let (column, row, frame) = (p % columns, p / columns % rows, p / columns / rows);
        if of.direction == Direction::Up {
            let frame = frame + of.missing;
            let cell = (frame % of.pair * side + row % side) * side + column % side;
            let place = (frame / of.pair * height + row / side) * width + column / side;
            let repeats = of.to * cells / of.from;
            *out = x[place * of.from + (o * cells + cell) / repeats];
            continue;
        }
        let group = of.from * cells / of.to;
        let mut sum = 0.0;
        for i in o * group..(o + 1) * group {
            let (c, cell) = (i / cells, i % cells);
            let f = frame * of.pair + cell / (side * side);
            let Some(f) = f.checked_sub(of.missing) else {
                continue;
            };
            let y = row * side + cell / side % side;
            let place = (f * height + y) * width + column * side + cell % side;
            sum += x[place * of.from + c].widen();
        }
        *out = T::narrow(sum / group as f32);
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    x: u64,
    out: u64,
    numbers: u64,
    from: u32,
    to: u32,
    height: u32,
    width: u32,
    side: u32,
    pair: u32,
    missing: u32,
}

/// Queues [`shortcut`] on a device.
pub fn launch<T: Number>(
    stream: &Stream,
    of: &Shortcut,
    x: Part<'_, T>,
    out: PartMut<'_, T>,
) -> Result<(), DeviceError> {
    const CALL: &str = "shortcut";
    let missing = || DeviceError::missing(CALL);
    let [read, made] = of.lengths().ok_or_else(missing)?;
    x.check(CALL, read)?;
    out.check(CALL, made)?;
    if made == 0 {
        return Ok(());
    }
    if made / of.to >= 1 << 32 {
        return Err(missing());
    }
    let argument = Arguments {
        x: x.address(),
        out: out.address(),
        numbers: made as u64,
        from: of.from as u32,
        to: of.to as u32,
        height: of.size[1] as u32,
        width: of.size[2] as u32,
        side: of.side as u32,
        pair: of.pair as u32,
        missing: of.missing as u32,
    };
    let name = match of.direction {
        Direction::Up => pick::<T>(["shortcut_up_f32", "shortcut_up_f16", "shortcut_up_bf16"]),
        Direction::Down => pick::<T>([
            "shortcut_down_f32",
            "shortcut_down_f16",
            "shortcut_down_bf16",
        ]),
    };
    // SAFETY: a thread for each number; lengths were checked.
    unsafe { stream.launch(CALL, name, Grid::over(made, 256), &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_up_and_down_again_is_itself() {
        let up = Shortcut {
            direction: Direction::Up,
            size: [1, 1, 2],
            from: 8,
            to: 2,
            side: 2,
            pair: 2,
            missing: 0,
        };
        let x: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let mut out = [0.0; 32];
        shortcut(&up, &x, &mut out);
        // Each channel stands for two cells: rows above one another are two channels.
        assert_eq!((out[0], out[2], out[8]), (0.0, 0.0, 1.0));
        let down = Shortcut {
            direction: Direction::Down,
            size: up.made(),
            from: 2,
            to: 8,
            ..up
        };
        let mut back = [0.0; 16];
        shortcut(&down, &out, &mut back);
        assert_eq!(back[..], x[..]);
    }
}
