//! All that the OpenFX shim in `cpp/` and Rust say to each other.
//!
//! The shim reads what a host holds into the structures below, makes one call,
//! and writes the answer back. No exception and no panic crosses: each function
//! here ends in [`guard`], and what the shim offers as [`ffi::HostCalls`]
//! throws nothing.

mod convert;
mod describe;
mod host;

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

use crate::node::{self, Node};
use convert::{cuda_of, image_of, region_of, report_of, scene_of, times_of};
use describe::plugin_spec;
use host::Calls;

#[cxx::bridge(namespace = "longtake")]
pub(crate) mod ffi {
    /// Kinds of parameter, as `manifest::ParamKind`.
    #[derive(Debug)]
    enum Kind {
        Choice,
        Int,
        Double,
        Bool,
        Range,
        String,
        File,
        Folder,
        Button,
        Status,
    }

    /// A parameter to describe. Whole numbers go as doubles.
    struct ParamSpec {
        name: String,
        group: String,
        label: String,
        hint: String,
        kind: Kind,
        default_text: String,
        default_number: f64,
        default_second: f64,
        options: Vec<String>,
        labels: Vec<String>,
        min: f64,
        max: f64,
        display_min: f64,
        display_max: f64,
    }

    /// A group of parameters to describe.
    struct GroupSpec {
        name: String,
        label: String,
        open: bool,
    }

    /// An input to describe.
    struct ClipSpec {
        name: String,
        label: String,
        hint: String,
        in_filter: bool,
        in_general: bool,
        /// Whether nothing need be connected, in the context general.
        optional_in_general: bool,
        /// The same, in the context filter.
        optional_in_filter: bool,
        mask: bool,
    }

    /// All that a host is told of the plug-in.
    struct PluginSpec {
        identifier: String,
        label: String,
        grouping: String,
        description: String,
        major: u32,
        minor: u32,
        clips: Vec<ClipSpec>,
        groups: Vec<GroupSpec>,
        params: Vec<ParamSpec>,
        /// Parameters that what the node wants of its output depends on.
        preferences: Vec<String>,
    }

    /// The value of a parameter as the host has it; `known` is false where the
    /// host would not say. A choice goes by its number.
    struct ParamValue {
        known: bool,
        text: String,
        number: f64,
        second: f64,
    }

    /// The inputs.
    #[derive(Debug)]
    enum Input {
        Source,
        Matte,
        Guide,
        Subject1,
        Subject2,
        Subject3,
    }

    /// Sample types.
    #[derive(Debug)]
    enum Depth {
        Unknown,
        Byte,
        Short,
        Half,
        Float,
    }

    /// What a pixel is made of.
    #[derive(Debug)]
    enum Components {
        Unknown,
        Rgba,
        Rgb,
        Alpha,
    }

    /// What the host says of an input.
    struct ClipFacts {
        connected: bool,
        depth: Depth,
        components: Components,
        premultiplied: bool,
        has_range: bool,
        first: f64,
        last: f64,
        fps: f64,
        pixel_aspect: f64,
    }

    /// What the host says when an action begins.
    struct Scene {
        generator: bool,
        params: Vec<ParamValue>,
        source: ClipFacts,
        matte: ClipFacts,
        guide: ClipFacts,
        subject1: ClipFacts,
        subject2: ClipFacts,
        subject3: ClipFacts,
        fps: f64,
        /// Of the output's pixels, 0 where the host does not say.
        pixel_aspect: f64,
        has_project: bool,
        project: [f64; 4],
        temporal_access: bool,
    }

    /// A picture of the host's, valid until it is released. Bounds are pixels,
    /// `x1 y1 x2 y2` from the bottom left, half open; `data` is the pixel at
    /// `x1 y1` and `row_bytes` leads to the row above.
    struct Image {
        handle: usize,
        data: usize,
        row_bytes: i32,
        bounds: [i32; 4],
        has_region: bool,
        region: [i32; 4],
        depth: Depth,
        components: Components,
        premultiplied: bool,
    }

    /// A render that the host asks for.
    struct RenderArgs {
        time: f64,
        window: [i32; 4],
        scale: [f64; 2],
        fielded: bool,
        /// Whether all pictures of this render lie in CUDA device memory.
        cuda: bool,
        /// The CUDA stream to work on, 0 where the host gives none.
        stream: usize,
        output: Image,
    }

    /// What becomes of an action.
    #[derive(Debug)]
    enum Status {
        /// Done.
        Done,
        /// The host's default.
        Default,
        /// Stopped because the host asked for it.
        Aborted,
        /// Not done; the message says why.
        Failed,
        /// A format that is not offered.
        Format,
        /// The GPU that the host works on has no memory left.
        GpuOutOfMemory,
        /// The GPU that the host works on failed otherwise.
        GpuFailed,
    }

    /// The end of an action: a status, and a sentence for the artist where
    /// there is something to say.
    struct Report {
        status: Status,
        message: String,
        warning: bool,
        /// Whether the artist was told the same before.
        told: bool,
    }

    /// A stretch of time, where `known`.
    struct Times {
        known: bool,
        first: f64,
        last: f64,
    }

    /// A rectangle in canonical coordinates, where `known`.
    struct Region {
        known: bool,
        rect: [f64; 4],
    }

    /// Which frames of the inputs a frame needs.
    struct Needs {
        source: Vec<f64>,
        matte: Vec<f64>,
        guide: Vec<f64>,
        subject1: Vec<f64>,
        subject2: Vec<f64>,
        subject3: Vec<f64>,
    }

    /// What the node wants of its output; 0 and unknown leave it to the host.
    struct Preferences {
        fps: f64,
        components: Components,
        depth: Depth,
        has_premultiplied: bool,
        premultiplied: bool,
        frame_varying: bool,
    }

    #[namespace = "longtake"]
    unsafe extern "C++" {
        include!("longtake/cpp/host_calls.h");

        /// What Rust may ask of the host while an action runs, on the thread of
        /// the action.
        type HostCalls;

        /// Fetches a picture; one without data where there is none.
        fn image(self: Pin<&mut HostCalls>, input: Input, time: f64) -> Image;
        /// Gives a picture back.
        fn release(self: Pin<&mut HostCalls>, image: &Image);
        /// Region of definition of an input, canonical coordinates.
        fn region(self: Pin<&mut HostCalls>, input: Input, time: f64) -> Region;
        /// Whether the host wants the action to stop.
        fn aborted(self: Pin<&mut HostCalls>) -> bool;
        /// Shows how far the work is; false where the artist cancels.
        fn progress(self: Pin<&mut HostCalls>, stage: &str, fraction: f64) -> bool;
        /// Lets the artist set a parameter, or greys it out.
        fn enable(self: Pin<&mut HostCalls>, name: &str, on: bool);
        /// Writes a line into a parameter that only shows text.
        fn show(self: Pin<&mut HostCalls>, name: &str, text: &str);
    }

    unsafe extern "C++" {
        include!("longtake/cpp/entry.h");

        /// The `OfxPlugin` of the shim.
        fn plugin_address() -> usize;
        /// Takes an `OfxHost`.
        fn take_host(host: usize);
    }

    extern "Rust" {
        type Node;

        fn plugin_spec() -> PluginSpec;
        fn node_new() -> Box<Node>;
        fn node_time_domain(node: &Node, scene: &Scene) -> Times;
        fn node_identity(node: &Node, scene: &Scene, time: f64) -> Times;
        fn node_needs(node: &Node, scene: &Scene, time: f64) -> Needs;
        fn node_region(node: &Node, scene: &Scene, host: Pin<&mut HostCalls>) -> Region;
        fn node_interest(node: &Node, scene: &Scene, host: Pin<&mut HostCalls>) -> Region;
        fn node_preferences(node: &Node, scene: &Scene) -> Preferences;
        fn node_render(
            node: &Node,
            scene: &Scene,
            args: &RenderArgs,
            host: Pin<&mut HostCalls>,
        ) -> Report;
        fn node_changed(
            node: &Node,
            scene: &Scene,
            name: &str,
            clip: bool,
            by_user: bool,
            scale: [f64; 2],
            host: Pin<&mut HostCalls>,
        ) -> Report;
        fn node_purge(node: &Node);
        fn offer_threads(count: u32);
    }
}

/// How many plug-ins the shared object holds.
#[unsafe(no_mangle)]
pub extern "C" fn OfxGetNumberOfPlugins() -> c_int {
    1
}

/// The `OfxPlugin` numbered `nth`, null where there is none.
#[unsafe(no_mangle)]
pub extern "C" fn OfxGetPlugin(nth: c_int) -> *mut c_void {
    if nth != 0 {
        return std::ptr::null_mut();
    }
    // The address of a C++ object that lives as long as the process.
    std::ptr::with_exposed_provenance_mut(ffi::plugin_address())
}

/// OpenFX 1.5: the host introduces itself before anything else is asked.
/// Answers `kOfxStatOK`.
#[unsafe(no_mangle)]
pub extern "C" fn OfxSetHost(host: *const c_void) -> c_int {
    ffi::take_host(host.expose_provenance());
    0
}

/// Runs `work`; a panic becomes `instead`.
fn guard<R>(instead: impl FnOnce() -> R, work: impl FnOnce() -> R) -> R {
    // Whatever the panic left behind is either local to the call or behind
    // locks that do not poison and hold whole values.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| instead())
}

/// The end of an action that panicked.
fn broken() -> ffi::Report {
    ffi::Report {
        status: ffi::Status::Failed,
        message: "Longtake met an error of its own. Press Clear and render again; if it stays, \
                  report it with the host's log."
            .to_owned(),
        warning: false,
        told: false,
    }
}

/// The host, as it is to `node`.
fn calls_of<'a>(
    node: &Node,
    host: Pin<&'a mut ffi::HostCalls>,
    cuda: Option<&'a node::Cuda>,
) -> Calls<'a> {
    Calls {
        instance: node.id(),
        host,
        cuda,
    }
}

fn node_new() -> Box<Node> {
    Box::new(Node::new())
}

fn node_time_domain(node: &Node, scene: &ffi::Scene) -> ffi::Times {
    let times = guard(|| None, || node.time_domain(&scene_of(scene)));
    times_of(times.map(|r| (f64::from(r.first), f64::from(r.last))))
}

fn node_identity(node: &Node, scene: &ffi::Scene, time: f64) -> ffi::Times {
    let frame = guard(|| None, || node.identity(&scene_of(scene), time));
    times_of(frame.map(|f| (f64::from(f), f64::from(f))))
}

fn node_needs(node: &Node, scene: &ffi::Scene, time: f64) -> ffi::Needs {
    let needs = guard(node::Needs::default, || node.needs(&scene_of(scene), time));
    let times = |frames: Vec<i32>| frames.into_iter().map(f64::from).collect();
    let [subject1, subject2, subject3] = needs.subjects.map(times);
    ffi::Needs {
        source: times(needs.source),
        matte: times(needs.matte),
        guide: times(needs.guide),
        subject1,
        subject2,
        subject3,
    }
}

fn node_region(node: &Node, scene: &ffi::Scene, host: Pin<&mut ffi::HostCalls>) -> ffi::Region {
    let mut host = calls_of(node, host, None);
    region_of(guard(|| None, || node.region(&scene_of(scene), &mut host)))
}

fn node_interest(node: &Node, scene: &ffi::Scene, host: Pin<&mut ffi::HostCalls>) -> ffi::Region {
    let mut host = calls_of(node, host, None);
    region_of(guard(
        || None,
        || node.interest(&scene_of(scene), &mut host),
    ))
}

fn node_preferences(node: &Node, scene: &ffi::Scene) -> ffi::Preferences {
    let p = guard(node::Preferences::default, || {
        node.preferences(&scene_of(scene))
    });
    ffi::Preferences {
        fps: p.fps.unwrap_or(0.0),
        components: match p.components {
            Some(node::Components::Rgba) => ffi::Components::Rgba,
            Some(node::Components::Rgb) => ffi::Components::Rgb,
            Some(node::Components::Alpha) => ffi::Components::Alpha,
            None => ffi::Components::Unknown,
        },
        depth: match p.depth {
            Some(node::Depth::Byte) => ffi::Depth::Byte,
            Some(node::Depth::Short) => ffi::Depth::Short,
            Some(node::Depth::Half) => ffi::Depth::Half,
            Some(node::Depth::Float) => ffi::Depth::Float,
            None => ffi::Depth::Unknown,
        },
        has_premultiplied: p.premultiplied.is_some(),
        premultiplied: p.premultiplied.unwrap_or_default(),
        frame_varying: p.frame_varying,
    }
}

fn node_render(
    node: &Node,
    scene: &ffi::Scene,
    args: &ffi::RenderArgs,
    host: Pin<&mut ffi::HostCalls>,
) -> ffi::Report {
    guard(broken, || {
        let cuda = match args.cuda {
            false => None,
            // SAFETY: the host's stream lives as long as this action.
            true => match unsafe { cuda_of(args) } {
                Ok(cuda) => Some(cuda),
                Err(error) => return report_of(node::Report::gpu(&error)),
            },
        };
        let cuda = cuda.as_ref();
        // SAFETY: the shim fetched the output for this action and releases it
        // after this call.
        let Some(output) = (unsafe { image_of(&args.output, cuda) }) else {
            return report_of(node::Report::bad_output());
        };
        let mut host = calls_of(node, host, cuda);
        let args = node::RenderArgs {
            time: args.time,
            window: node::Rect::from(args.window),
            scale: args.scale,
            fielded: args.fielded,
        };
        report_of(node.render(&scene_of(scene), &args, output, &mut host))
    })
}

fn node_changed(
    node: &Node,
    scene: &ffi::Scene,
    name: &str,
    clip: bool,
    by_user: bool,
    scale: [f64; 2],
    host: Pin<&mut ffi::HostCalls>,
) -> ffi::Report {
    let mut host = calls_of(node, host, None);
    guard(broken, || {
        let what = if clip {
            node::Change::Clip
        } else {
            node::Change::Param(name)
        };
        report_of(node.changed(&scene_of(scene), what, by_user, scale, &mut host))
    })
}

fn node_purge(node: &Node) {
    guard(|| (), || node.purge());
}

/// The host offers so many threads. Some say one, or nothing, whatever there
/// is, so only a number that says something is heeded; ours are made later.
fn offer_threads(count: u32) {
    let count = count as usize;
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    if (2..cores).contains(&count) {
        crate::device::limit(count);
    }
}
