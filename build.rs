//! Builds the OpenFX shim.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
