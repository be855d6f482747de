//! A GPU is used once it has made a small scene, and counted costs, exactly as the CPU
//! does.

use longtake_kernels::driver::DeviceError;
use longtake_kernels::flow::{self, Plane};
use longtake_kernels::gather::{self, Axis, Cut, Grade, Pictures, Scene, Tables, gather as on_cpu};
use longtake_kernels::{agreement, frame_distance, noise};

use super::Gpu;

/// Width and height of the scene.
const SIZE: usize = 48;

/// Fails where the GPU gives other numbers than the CPU.
pub(super) fn pass(gpu: &mut Gpu) -> Result<(), DeviceError> {
    let stream = gpu.stream().clone();
    let shape = [5, 2, 17, 23];
    let mut numbers = vec![0.0; shape.iter().product()];
    noise::noise(&mut numbers, 9, [1, 2, 3], shape);
    let mut found = stream.room(numbers.len())?;
    noise::launch(&stream, found.part_mut(), 9, [1, 2, 3], shape)?;
    compare(gpu, &numbers, &stream.download(&found)?)?;

    frames(gpu)?;
    displacements(gpu)?;
    costs(gpu)
}

/// Frames of a small scene, of colour and of colour with alpha: each has a kernel.
fn frames(gpu: &mut Gpu) -> Result<(), DeviceError> {
    for (channels, alpha) in [(3, -1), (4, 3)] {
        let grade = Grade {
            colour: [0, 1, 2],
            alpha,
            display: false,
        };
        frames_of(gpu, channels, grade)?;
    }
    Ok(())
}

fn frames_of(gpu: &mut Gpu, channels: usize, grade: Grade) -> Result<(), DeviceError> {
    let stream = gpu.stream().clone();
    // Two sources, a cut that passes from left to right, flow, a low band: all that a
    // frame may ask for.
    let pixels = SIZE * SIZE * channels;
    let sources = [0, 1].map(|s| {
        let mut v = vec![0.0; pixels];
        noise::noise(&mut v, s, [0; 3], [1, 1, 1, pixels]);
        v
    });
    let (interval, part): (Vec<u32>, Vec<f32>) = (0..SIZE)
        .map(|x| (((x + 4) / 8) as u32, ((x + 4) % 8) as f32 / 8.0 + 0.0625))
        .unzip();
    let cells = SIZE / 8 * (SIZE / 8);
    let age: Vec<f32> = (0..cells).map(|c| 4.0 - 2.5 * (c % 6) as f32).collect();
    let taken: Vec<f32> = (0..cells).map(|c| (c / 6) as f32 * 0.3).collect();
    let flow = [vec![[0.11, -0.07]; cells], vec![[-0.05, 0.13]; cells]];
    let band = vec![[0.01, -0.02, 0.005]; cells];
    let axis = Axis {
        interval: &interval,
        part: &part,
    };
    let uploaded = [stream.upload(&sources[0])?, stream.upload(&sources[1])?];
    // With and without what takes part, which a kernel makes by ways of its own.
    for taken in [Some(&taken[..]), None] {
        let scene = Scene {
            grid: (SIZE / 8, SIZE / 8),
            across: axis,
            down: axis,
            channels,
            cuts: &[Cut {
                age: &age,
                taken,
                to: 1,
                lead: 3.5,
                trail: f32::MAX,
            }],
            bands: &[Some(&band), None],
            flows: &[None, Some(&flow[0]), Some(&flow[1]), None],
            warps: true,
            grade,
        };
        let Some(tables) = Tables::new(&scene) else {
            return Err(differs(gpu));
        };
        let window = [0, 0, SIZE, SIZE];
        let mut exact = vec![0.0; pixels];
        let pictures = Pictures {
            sources: sources.iter().map(|s| Some(&s[..])).collect(),
            matte: None,
        };
        on_cpu(&tables, window, &pictures, 0, &mut exact);
        let words = stream.upload(tables.words())?;
        let mut out = stream.room(pixels)?;
        let pictures = Pictures {
            sources: uploaded.iter().map(|s| Some(s.part())).collect(),
            matte: None,
        };
        gather::launch(
            &stream,
            &tables,
            words.part(),
            window,
            &pictures,
            out.part_mut(),
        )?;
        let mut found = vec![0.0; pixels];
        gpu.download(&out, &mut found)?;
        compare(gpu, &exact, &found)?;
    }
    Ok(())
}

/// Flow between two small pictures, on two levels of the pyramid.
fn displacements(gpu: &mut Gpu) -> Result<(), DeviceError> {
    const SHAPE: (usize, usize) = (24, 20);
    let cells = SHAPE.0 * SHAPE.1;
    let mut pictures = vec![0.0; 2 * cells];
    noise::noise(&mut pictures, 3, [0; 3], [1, 1, 1, 2 * cells]);
    // What moves beneath the noise.
    for (i, v) in pictures.iter_mut().enumerate() {
        let (x, second) = ((i % cells) % SHAPE.0, i / cells);
        *v = 0.1 * *v + ((x + 2 * second) % 9) as f32;
    }
    let plane = |data: &[f32]| Plane {
        cols: SHAPE.0,
        rows: SHAPE.1,
        data: data.to_vec(),
    };
    let (first, second) = pictures.split_at(cells);
    let exact = flow::flow(&plane(first), &plane(second));
    let stream = gpu.stream().clone();
    let (pictures, ways) = (stream.upload(&pictures)?, stream.upload(&[0u32, 1])?);
    let mut room = stream.room(flow::scratch(SHAPE.0, SHAPE.1))?;
    let mut out = stream.room(2 * cells)?;
    let (input, ways) = (pictures.part(), ways.part());
    flow::launch(&stream, input, SHAPE, ways, room.part_mut(), out.part_mut())?;
    let found = stream.download(&out)?;
    compare(gpu, &[exact.u.data, exact.v.data].concat(), &found)
}

/// Frames and cells of the costs that are counted.
const FRAMES: usize = 40;
const CELLS: usize = 70;

/// What decisions are made by, counted on both.
fn costs(gpu: &mut Gpu) -> Result<(), DeviceError> {
    const CAP: i32 = 30_000;
    let stream = gpu.stream().clone();
    let value = |i: usize| ((i * 7919) % 409) as i16 - 200;
    let (window, shape) = (6, (FRAMES - 1) * FRAMES);
    let along: Vec<i16> = (0..CELLS * 6 * FRAMES).map(value).collect();
    let on_device = stream.upload(&along)?;
    let mut out = stream.room::<u32>(shape)?;
    let (input, room) = (on_device.part(), out.part_mut());
    frame_distance::launch(&stream, input, FRAMES, window, CAP, room)?;
    let found = stream.download(&out)?;
    for d in 1..FRAMES - window {
        let exact = frame_distance::frame_distance(&along, FRAMES, d, window, CAP);
        if found[(d - 1) * FRAMES..][..exact.len()] != exact {
            return Err(differs(gpu));
        }
    }
    let motion: Vec<[i16; 8]> = (0..FRAMES * CELLS)
        .map(|i| [0, 1, 2, 3, 4, 5, 6, 7].map(|k| value(8 * i + k)))
        .collect();
    let sources: Vec<u32> = (0..4 * CELLS).map(|i| (i * 31 % FRAMES) as u32).collect();
    let weight: Vec<u32> = (0..CELLS).map(|i| (i % 3) as u32).collect();
    let total = weight.iter().map(|w| i64::from(*w)).sum();
    let exact = agreement::agreement(&motion, &sources, &weight, FRAMES - 3, CAP);
    let (motion, sources) = (
        stream.upload(motion.as_flattened())?,
        stream.upload(&sources)?,
    );
    let weight = stream.upload(&weight)?;
    let mut out = stream.room::<i64>(exact.len())?;
    let (motion, sources, weight) = (motion.part(), sources.part(), weight.part());
    agreement::launch(&stream, motion, sources, weight, total, CAP, out.part_mut())?;
    match stream.download(&out)? == exact {
        true => Ok(()),
        false => Err(differs(gpu)),
    }
}

fn compare(gpu: &Gpu, exact: &[f32], found: &[f32]) -> Result<(), DeviceError> {
    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
    match exact.len() == found.len() && exact.iter().zip(found).all(same) {
        true => Ok(()),
        false => Err(differs(gpu)),
    }
}

fn differs(gpu: &Gpu) -> DeviceError {
    DeviceError::Differs(gpu.stream().device().name().to_owned())
}
