//! Hosts that hand over pictures in the memory of an NVIDIA GPU, with a stream: the
//! driver is the emulation of `kernels/emulation`, which does what is queued as late as
//! it may, so that a wait that is missing, and one too many, show.

use crate::support::plate::Plate;
use crate::support::{Host, Run};

/// A host with the emulated driver; none where that could not be built.
fn host(like: &str, plate: &Plate) -> Option<Host> {
    let folder = longtake_emulation::folder()?.to_str()?;
    let host = Host::longtake(like)
        .env("LD_LIBRARY_PATH", folder)
        .flag("no-identity")
        .clip("Source", plate)
        .set("frames", "1001,1048")
        .set("plans", 1);
    Some(host)
}

/// Kept and made frames.
const FRAMES: &str = "1005,1026,1030,1001,1042,1046";

/// How often a render waited for the host's stream, by frame.
fn waits(run: &Run, frame: i64) -> i64 {
    let frames = run.all("frame");
    let found = frames.iter().find(|f| f["frame"] == frame as f64);
    found.unwrap()["cuda_waits"].as_i64().unwrap()
}

#[test]
fn pictures_on_a_gpu_come_out_as_those_in_memory() {
    let plate = Plate::water(64, 48, 1001, 24);
    let Some(right) = host("resolve", &plate) else {
        return;
    };
    let right = right.render(FRAMES).run().good();
    for how in ["primary", "own"] {
        let Some(host) = host("resolve-cuda", &plate) else {
            return;
        };
        let run = host.opt("cuda", how).render(FRAMES).run().good();
        assert_eq!(run.hashes(), right.hashes(), "{how}");
        // A frame that is handed on stays on the GPU, and nobody waits.
        for kept in [1005, 1001] {
            assert_eq!(waits(&run, kept), 0, "{how}: {run:?}");
        }
        assert!(waits(&run, 1026) > 0, "the plate was read: {run:?}");
    }
    let Some(host) = host("resolve-cuda", &plate) else {
        return;
    };
    let run = host.flag("no-cuda-stream").render(FRAMES).run().good();
    assert_eq!(run.hashes(), right.hashes(), "without a stream");
}

#[test]
fn all_depths_components_rows_and_windows_are_the_same_on_a_gpu() {
    let plate = Plate::water(48, 40, 1001, 24);
    let frames = "1005,1030";
    let kinds = [
        ("float", "RGBA", "padded"),
        ("half", "RGB", "tight"),
        ("short", "RGBA", "negative"),
        ("byte", "RGB", "padded"),
        ("byte", "Alpha", "negative-padded"),
    ];
    for (depth, components, rows) in kinds {
        let run = |cuda: &str| -> Option<Run> {
            let host = host("plain", &plate)?
                .opt("cuda", cuda)
                .opt("depth", depth)
                .opt("components", components)
                .opt("rows", rows)
                .opt("margin", 2)
                .opt("offset", "7,-3")
                .render(frames)
                .opt("tiles", "20,17")
                .opt("threads", 3)
                .render("1031,1006");
            Some(host.run().good())
        };
        let (Some(right), Some(found)) = (run("off"), run("own")) else {
            return;
        };
        assert_eq!(
            found.hashes(),
            right.hashes(),
            "{depth} {components} {rows}"
        );
    }
}

#[test]
fn a_plate_in_files_is_made_into_pictures_on_a_gpu() {
    let plate = Plate::water(48, 40, 1001, 24);
    let run = |like: &str| -> Option<Run> {
        let folder = longtake_emulation::folder()?.to_str()?;
        let host = Host::longtake(like)
            .env("LD_LIBRARY_PATH", folder)
            .opt("context", "generator")
            .opt("project", "48,40")
            .set("plate", plate.pattern())
            .set("frames", "1001,1048")
            .set("plans", 1)
            .render("1005,1030,1031,1030");
        Some(host.run().good())
    };
    let (Some(right), Some(found)) = (run("resolve"), run("resolve-cuda")) else {
        return;
    };
    assert_eq!(found.hashes(), right.hashes());
    assert_eq!(waits(&found, 1031), 0, "what is sent is not waited for");
}

#[test]
fn a_gpu_that_fails_is_told_with_the_status_of_the_specification() {
    let plate = Plate::water(64, 48, 1001, 24);
    let Some(right) = host("resolve", &plate) else {
        return;
    };
    let right = right.render(FRAMES).run().good();
    let failing = |faults: &[(&str, &str)]| {
        let host = host("resolve-cuda", &plate)?;
        Some(faults.iter().fold(host, |host, (name, value)| {
            host.env(&format!("LONGTAKE_EMULATION_{name}"), value)
        }))
    };
    // Lost among the copies of the plate.
    let Some(host) = failing(&[("COPIES", "9")]) else {
        return;
    };
    let run = host.render("1030").run().sound();
    assert_eq!(run.one("frame")["status"], "GPURenderFailed", "{run:?}");
    let told = run.messages();
    let says = |m: &String| m.contains("the GPU was lost") && m.contains("GPU processing off");
    assert!(told.iter().any(says), "{told:?}");
    // Hosts may try again on the CPU.
    let Some(host) = failing(&[("COPIES", "9")]) else {
        return;
    };
    let run = host.flag("cuda-retry").render(FRAMES).run().good();
    assert!(!run.all("retry").is_empty(), "{run:?}");
    assert_eq!(run.hashes(), right.hashes());
    // A driver that is too old for kernels takes copies; one older still does not.
    let Some(host) = failing(&[("VERSION", "12040")]) else {
        return;
    };
    let run = host.render(FRAMES).run().good();
    assert_eq!(run.hashes(), right.hashes());
    let Some(host) = failing(&[("VERSION", "11080")]) else {
        return;
    };
    let run = host.render("1030").run().sound();
    assert_eq!(run.one("frame")["status"], "GPURenderFailed", "{run:?}");
    let told = run.messages();
    assert!(
        told.iter().any(|m| m.contains("knows CUDA 11.8")),
        "{told:?}"
    );
    // No room for what the artist wants made on the GPU.
    let Some(host) = failing(&[("MEMORY", "1500000")]) else {
        return;
    };
    let run = host.set("device", "GPU").render("1030").run().sound();
    assert_eq!(run.one("frame")["status"], "GPUOutOfMemory", "{run:?}");
    let told = run.messages();
    let says = |m: &String| m.contains("the GPU is out of memory");
    assert!(told.iter().any(says), "{told:?}");
}

#[test]
fn a_host_that_speaks_of_cuda_without_a_driver_gets_a_sentence() {
    let plate = Plate::water(48, 40, 1001, 24);
    let run = Host::longtake("resolve-cuda")
        .opt("cuda", "lie")
        .flag("no-identity")
        .clip("Source", &plate)
        .set("frames", "1001,1048")
        .render("1005,1030")
        .run()
        .sound();
    for frame in run.all("frame") {
        assert_eq!(frame["status"], "GPURenderFailed", "{run:?}");
    }
    let told = run.messages();
    assert!(told.iter().any(|m| m.contains("driver")), "{told:?}");
}

#[test]
fn describing_says_so_and_touches_no_driver() {
    let describe = |value: &str| {
        Host::longtake("resolve-cuda")
            .env("LONGTAKE_HOST_GPU", value)
            .flag("describe")
            .opt("scan", 1)
            .run()
            .sound()
    };
    for (value, says) in [("1", "true"), ("0", "false")] {
        let run = describe(value);
        let said = run.one("description");
        assert_eq!(
            (&said["cuda"], &said["cuda_stream"]),
            (&says.into(), &says.into())
        );
        assert_eq!(run.one("scan")["cuda"], false, "{run:?}");
    }
}
