//! The same frame by the kernel `gather` on a GPU: what decides for each pixel is put
//! into tables, the pictures are copied there, the result is copied back. And the flow
//! between plate frames, which those tables need.

use std::sync::Arc;

use longtake_kernels::driver::DeviceError;
use longtake_kernels::flow::{self, Field, Plane};
use longtake_kernels::gather::{self, Cut, Pictures, Scene, Tables};

use super::grid::Axis;
use super::layout::Layout;
use super::warp::Ways;
use crate::device::gpu::Gpu;
use crate::frame::{Picture, PlateInfo, Window};

/// The pictures of a frame.
pub(super) struct Shown {
    /// Source by source; those that no pixel shows are missing.
    pub(super) sources: Vec<Option<Arc<Picture>>>,
    /// The matte and the plate that stands outside it.
    pub(super) matte: Option<(Arc<Picture>, Arc<Picture>)>,
}

/// The tables of a frame; none where it has more sources than the kernel takes.
pub(super) fn tables(layout: &Layout<'_>, info: &PlateInfo, warp: bool) -> Option<Tables> {
    let moment = layout.moment;
    let n = moment.sources.len();
    let cuts: Vec<Cut<'_>> = (moment.cuts.iter())
        .map(|c| Cut {
            age: &c.age,
            taken: c.taken.as_deref(),
            to: c.to,
            lead: c.lead,
            trail: c.trail,
        })
        .collect();
    let bands: Vec<Option<&[[f32; 3]]>> = (0..n).map(|s| layout.band.as_ref()?.field(s)).collect();
    let flows: Vec<Option<&[[f32; 2]]>> = (layout.flows.iter())
        .map(|flow| {
            let (pair, reversed) = flow.as_ref()?;
            Some(if *reversed {
                &pair.back[..]
            } else {
                &pair.forth[..]
            })
        })
        .collect();
    let axis =
        |axis: &'_ Axis| -> (Vec<u32>, Vec<f32>) { (axis.interval.clone(), axis.part.clone()) };
    let (across, down) = (axis(&layout.across), axis(&layout.down));
    Tables::new(&Scene {
        grid: (moment.cols, moment.rows),
        across: gather::Axis {
            interval: &across.0,
            part: &across.1,
        },
        down: gather::Axis {
            interval: &down.0,
            part: &down.1,
        },
        channels: info.channels.len().max(1),
        cuts: &cuts,
        bands: &bands,
        flows: &flows,
        warps: warp,
        grade: layout.grade.for_kernel(),
    })
}

/// Makes `out`, the part `window` of the frame.
pub(super) fn draw(
    gpu: &mut Gpu,
    tables: &Tables,
    shown: &Shown,
    window: Window,
    out: &mut Picture,
) -> Result<(), DeviceError> {
    let put = |gpu: &mut Gpu, picture: &Arc<Picture>| gpu.picture(picture, picture.data());
    let mut sources = Vec::new();
    for source in &shown.sources {
        sources.push(source.as_ref().map(|p| put(gpu, p)).transpose()?);
    }
    let matte = match &shown.matte {
        None => None,
        Some((matte, beneath)) => Some((put(gpu, matte)?, matte.channels(), put(gpu, beneath)?)),
    };
    let stream = gpu.stream().clone();
    let words = stream.upload(tables.words())?;
    let mut made = gpu.room(out.data().len())?;
    let pictures = Pictures {
        sources: sources
            .iter()
            .map(|s| s.as_ref().map(|s| s.part()))
            .collect(),
        matte: matte.as_ref().map(|(m, n, b)| (m.part(), *n, b.part())),
    };
    let window = [window.x0, window.y0, window.x1, window.y1].map(|v| v.max(0) as usize);
    gather::launch(
        &stream,
        tables,
        words.part(),
        window,
        &pictures,
        made.part_mut(),
    )?;
    gpu.download(&made, out.data_mut())
}

/// Pairs whose flow is found in one launch, at most: two blocks each, about as many as
/// the largest GPU has room for side by side, in some 50 MB.
const PAIRS: usize = 64;

/// The flow between the two pictures of each of `pairs`, both ways; all of one size.
pub(super) fn flows(gpu: &mut Gpu, pairs: &[&[Plane; 2]]) -> Result<Vec<Ways>, DeviceError> {
    let Some([first, _]) = pairs.first() else {
        return Ok(Vec::new());
    };
    let (cols, rows) = (first.cols, first.rows);
    let stream = gpu.stream().clone();
    let mut found = Vec::with_capacity(pairs.len());
    for pairs in pairs.chunks(PAIRS) {
        let count = pairs.len();
        let pictures: Vec<f32> = (pairs.iter().copied().flatten())
            .flat_map(|p| p.data.iter().copied())
            .collect();
        let ways: Vec<u32> = (0..count as u32)
            .flat_map(|i| [2 * i, 2 * i + 1, 2 * i + 1, 2 * i])
            .collect();
        let (pictures, ways) = (stream.upload(&pictures)?, stream.upload(&ways)?);
        let mut room = stream.room(2 * count * flow::scratch(cols, rows))?;
        let mut out = stream.room(4 * count * cols * rows)?;
        let (input, ways) = (pictures.part(), ways.part());
        flow::launch(
            &stream,
            input,
            (cols, rows),
            ways,
            room.part_mut(),
            out.part_mut(),
        )?;
        let planes = stream.download(&out)?;
        let plane = |data: &[f32]| Plane {
            cols,
            rows,
            data: data.to_vec(),
        };
        let field = |planes: &[f32]| {
            let (u, v) = planes.split_at(cols * rows);
            Field {
                u: plane(u),
                v: plane(v),
            }
        };
        found.extend(planes.chunks_exact((4 * cols * rows).max(1)).map(|both| {
            let (forth, back) = both.split_at(2 * cols * rows);
            [field(forth), field(back)]
        }));
    }
    Ok(found)
}
