//! The shared object as a dynamic linker sees it.

use std::path::PathBuf;
use std::process::Command;

/// The shared object of this build: cargo lays it beside the test's folder.
fn object() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
    let object = folder.join("liblongtake.so");
    assert!(object.is_file(), "{} is not built", object.display());
    object
}

fn say(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).arg(object()).output();
    let output = output.unwrap_or_else(|e| panic!("{program} (package binutils): {e}"));
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn only_the_entry_symbols_are_shown() {
    let symbols = say("nm", &["-D", "--defined-only"]);
    let mut names: Vec<&str> = symbols
        .lines()
        .filter_map(|l| l.split(' ').nth(2))
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["OfxGetNumberOfPlugins", "OfxGetPlugin", "OfxSetHost"]
    );
}

#[test]
fn the_object_stays_when_a_host_unloads_it() {
    assert!(say("readelf", &["-d"]).contains("NODELETE"));
}

#[test]
fn nothing_of_cuda_is_linked() {
    let needed = say("readelf", &["-d"]);
    let mut libraries = needed.lines().filter(|l| l.contains("(NEEDED)"));
    assert!(libraries.clone().any(|l| l.contains("libc.so")), "{needed}");
    let cuda = libraries.find(|l| ["cuda", "cublas", "nvrtc"].iter().any(|n| l.contains(n)));
    assert_eq!(cuda, None);
    let linked = say("ldd", &[]);
    assert!(!linked.contains("libcu"), "{linked}");
}
