//! The bridge's structures and the node's own.

use longtake_kernels::driver::DeviceError;

use super::ffi;
use crate::node;

pub(super) fn input_of(input: node::Input) -> ffi::Input {
    match input {
        node::Input::Source => ffi::Input::Source,
        node::Input::Matte => ffi::Input::Matte,
        node::Input::Guide => ffi::Input::Guide,
        node::Input::Subject(0) => ffi::Input::Subject1,
        node::Input::Subject(1) => ffi::Input::Subject2,
        node::Input::Subject(_) => ffi::Input::Subject3,
    }
}

fn depth_of(depth: ffi::Depth) -> Option<node::Depth> {
    match depth {
        ffi::Depth::Byte => Some(node::Depth::Byte),
        ffi::Depth::Short => Some(node::Depth::Short),
        ffi::Depth::Half => Some(node::Depth::Half),
        ffi::Depth::Float => Some(node::Depth::Float),
        _ => None,
    }
}

fn components_of(components: ffi::Components) -> Option<node::Components> {
    match components {
        ffi::Components::Rgba => Some(node::Components::Rgba),
        ffi::Components::Rgb => Some(node::Components::Rgb),
        ffi::Components::Alpha => Some(node::Components::Alpha),
        _ => None,
    }
}

/// The GPU that a render's pictures lie on.
///
/// # Safety
/// The stream is one, and lives as long as the result.
pub(super) unsafe fn cuda_of(args: &ffi::RenderArgs) -> Result<node::Cuda, DeviceError> {
    let stream = (args.stream != 0).then(|| std::ptr::with_exposed_provenance_mut(args.stream));
    // SAFETY: as the caller promises.
    unsafe { node::Cuda::enter(stream, args.output.data as u64) }
}

/// # Safety
/// The host keeps the pixels that `image` speaks of, in its memory or on `cuda`, alive
/// and to itself as long as the result lives.
pub(super) unsafe fn image_of<'a>(
    image: &ffi::Image,
    cuda: Option<&'a node::Cuda>,
) -> Option<node::Image<'a>> {
    let layout = node::Layout {
        row_bytes: image.row_bytes as isize,
        bounds: node::Rect::from(image.bounds),
        region: image.has_region.then(|| node::Rect::from(image.region)),
        depth: depth_of(image.depth)?,
        components: components_of(image.components)?,
        premultiplied: image.premultiplied,
    };
    if let Some(cuda) = cuda {
        // SAFETY: as the caller promises; the layout is the host's own.
        return unsafe { node::Image::on_gpu(image.data as u64, layout, cuda) };
    }
    let data = std::ptr::with_exposed_provenance_mut(image.data);
    // SAFETY: as the caller promises; the layout is the host's own.
    unsafe { node::Image::new(data, layout) }
}

fn positive(v: f64) -> Option<f64> {
    (v.is_finite() && v > 0.0).then_some(v)
}

fn clip_of(clip: &ffi::ClipFacts) -> node::ClipFacts {
    node::ClipFacts {
        connected: clip.connected,
        depth: depth_of(clip.depth),
        components: components_of(clip.components),
        premultiplied: clip.premultiplied,
        range: clip.has_range.then_some((clip.first, clip.last)),
        fps: positive(clip.fps),
        pixel_aspect: positive(clip.pixel_aspect).unwrap_or(1.0),
    }
}

pub(super) fn scene_of(scene: &ffi::Scene) -> node::Scene {
    node::Scene {
        generator: scene.generator,
        params: scene
            .params
            .iter()
            .map(|p| node::RawValue {
                known: p.known,
                text: p.text.clone(),
                number: p.number,
                second: p.second,
            })
            .collect(),
        source: clip_of(&scene.source),
        matte: clip_of(&scene.matte),
        guide: clip_of(&scene.guide),
        subjects: [&scene.subject1, &scene.subject2, &scene.subject3].map(clip_of),
        fps: positive(scene.fps),
        pixel_aspect: positive(scene.pixel_aspect),
        project: scene.has_project.then_some(scene.project),
        temporal_access: scene.temporal_access,
    }
}

pub(super) fn report_of(report: node::Report) -> ffi::Report {
    ffi::Report {
        status: match report.status {
            node::Status::Done => ffi::Status::Done,
            node::Status::Aborted => ffi::Status::Aborted,
            node::Status::Failed => ffi::Status::Failed,
            node::Status::Format => ffi::Status::Format,
            node::Status::GpuOutOfMemory => ffi::Status::GpuOutOfMemory,
            node::Status::GpuFailed => ffi::Status::GpuFailed,
        },
        message: report.message,
        warning: report.warning,
        told: report.told,
    }
}

pub(super) fn times_of(times: Option<(f64, f64)>) -> ffi::Times {
    let (first, last) = times.unwrap_or((0.0, 0.0));
    ffi::Times {
        known: times.is_some(),
        first,
        last,
    }
}

pub(super) fn region_of(rect: Option<[f64; 4]>) -> ffi::Region {
    ffi::Region {
        known: rect.is_some(),
        rect: rect.unwrap_or_default(),
    }
}
