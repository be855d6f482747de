//! Tests with the emulation of `kernels/emulation` as the driver. It is found when a
//! process begins, so such a test runs itself again.

use std::process::Command;

const AGAIN: &str = "LONGTAKE_TEST_EMULATED";

/// Runs the test called `path` again with the emulation, of which `settings` are; true in
/// that process.
pub(crate) fn emulated(path: &str, settings: &[(&str, &str)]) -> bool {
    if std::env::var_os(AGAIN).is_some() {
        return true;
    }
    let Some(folder) = longtake_emulation::folder() else {
        return false;
    };
    let named = settings.iter();
    let named = named.map(|(name, value)| (format!("LONGTAKE_EMULATION_{name}"), value));
    let output = Command::new(std::env::current_exe().unwrap())
        .args([path, "--exact", "--nocapture"])
        .env("LD_LIBRARY_PATH", folder)
        .env(AGAIN, "1")
        .envs(named)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let more = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{more}");
    assert!(text.contains("1 passed"), "{text}{more}");
    false
}
