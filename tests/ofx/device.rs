//! The same bundle with a driver for a GPU and without: the driver is the emulation of
//! `kernels/emulation`, since there is no GPU where tests run.

use crate::support::Host;
use crate::support::plate::Plate;

/// A render that is sent to `device` (the label of a choice), and the folder of the
/// emulated driver; none where that could not be built.
fn host(plate: &Plate, device: &str, faults: &[(&str, &str)]) -> Option<Host> {
    let folder = longtake_emulation::folder()?.to_str()?;
    let host = Host::longtake("plain")
        .env("LD_LIBRARY_PATH", folder)
        .clip("Source", plate)
        .set("frames", "1001,1048")
        .set("device", device)
        .set("plans", 1);
    Some(faults.iter().fold(host, |host, (name, value)| {
        host.env(&format!("LONGTAKE_EMULATION_{name}"), value)
    }))
}

#[test]
fn a_host_gets_the_same_pixels_from_a_gpu_and_a_sentence_where_it_fails() {
    let plate = Plate::water(64, 48, 1001, 24);
    let frames = "1026,1030,1034,1038,1042,1046";
    let right = Host::longtake("plain")
        .clip("Source", &plate)
        .set("frames", "1001,1048")
        .set("plans", 1)
        .render(frames)
        .run()
        .good();
    let Some(gpu) = host(&plate, "GPU", &[]) else {
        return;
    };
    let gpu = gpu.render(frames).run().good();
    assert_eq!(gpu.hashes(), right.hashes());
    for (fault, value, says) in [
        ("VERSION", "12040", "knows CUDA 12.4"),
        ("LOST_AFTER", "2", "the GPU was lost"),
    ] {
        let Some(host) = host(&plate, "GPU", &[(fault, value)]) else {
            return;
        };
        let run = host.render(frames).run().sound();
        let failed = run.all("frame").iter().any(|f| f["status"] == "Failed");
        assert!(failed, "{fault}: {run:?}");
        let told = run.messages();
        assert!(told.iter().any(|m| m.contains(says)), "{fault}: {told:?}");
    }
}
