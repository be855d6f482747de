//! Builds the OpenFX shim in `cpp/` and the bridge between it and Rust, and
//! tells the linker what the shared object shows to the world.

use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};

/// The sources of the shim, in `cpp/`.
const SOURCES: [&str; 8] = [
    "actions.cpp",
    "describe.cpp",
    "entry.cpp",
    "host_calls.cpp",
    "instance.cpp",
    "render.cpp",
    "scene.cpp",
    "suites.cpp",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-changed=src/bridge.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");

    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into()));
    let cpp = root.join("cpp");
    cxx_build::bridge("src/bridge.rs")
        .files(SOURCES.map(|name| cpp.join(name)))
        // The headers are another project's: no warnings of ours about them.
        .flag("-isystem")
        .flag(openfx_headers(&root))
        .std("c++17")
        .flag_if_supported("-fvisibility=hidden")
        .flag_if_supported("-fvisibility-inlines-hidden")
        // The bridge's functions are defined in Rust, where nothing on stable
        // can hide them. A symbol takes the strictest visibility that any
        // object gives it, so here they are declared hidden.
        .flag("-include")
        .flag(cpp.join("hidden.h"))
        .flag_if_supported("-Wall")
        .flag_if_supported("-Wextra")
        .compile("longtake_shim");

    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // What static libraries bring along (the bridge's own runtime) stays
        // inside.
        println!("cargo:rustc-link-arg-cdylib=-Wl,--exclude-libs,ALL");
        // A host may unload and load the plug-in for every frame. Worker
        // threads and caches of the process outlive that.
        println!("cargo:rustc-link-arg-cdylib=-Wl,-z,nodelete");
    }
}

/// The folder of the OpenFX headers in the source package `openfx-sys`, which
/// cargo fetches and never builds.
fn openfx_headers(root: &Path) -> PathBuf {
    let package = metadata(root, &["--offline", "--locked"])
        // A fresh clone: cargo build fetches only what it builds.
        .or_else(|_| metadata(root, &["--locked"]))
        .map(|m| {
            m.packages
                .into_iter()
                .find(|p| p.name.as_str() == "openfx-sys")
        });
    let folder = match package {
        Ok(Some(package)) => package
            .manifest_path
            .into_std_path_buf()
            .with_file_name("openfx")
            .join("include"),
        Ok(None) => {
            panic!("Cargo.toml no longer names openfx-sys, which carries the OpenFX headers")
        }
        Err(error) => panic!(
            "the package openfx-sys, which carries the OpenFX headers, cannot be had; \
             run `cargo fetch` with a network once: {error}"
        ),
    };
    assert!(
        folder.join("ofxImageEffect.h").is_file(),
        "{} has no OpenFX headers",
        folder.display()
    );
    folder
}

fn metadata(root: &Path, options: &[&str]) -> Result<Metadata, cargo_metadata::Error> {
    MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>())
        .exec()
}
