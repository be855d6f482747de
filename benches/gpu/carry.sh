#!/usr/bin/env bash
# Builds what benches/gpu/run.sh needs on a machine with a GPU into
# benches/gpu/carried (not in the repository, some 50 MB): a program with all kernels
# in it, one with the VAE's decoder, and the transformer's object, which takes ten minutes the first time.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo xtask kernels
cargo build --release --package longtake-kernels-check
mkdir -p benches/gpu/carried
cp "${CARGO_TARGET_DIR:-target}/release/longtake-kernels-check" benches/gpu/carried/
program=$(cargo bench --bench gpu_vae --no-run 2>&1 | sed -n 's/.*(\(.*gpu_vae-[^)]*\)).*/\1/p')
cp "$program" benches/gpu/carried/gpu_vae
object=$(cargo xtask cuda | tail -n 1)
cp "$object" benches/gpu/carried/
strip benches/gpu/carried/*
du -sh benches/gpu/carried
