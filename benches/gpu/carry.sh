#!/usr/bin/env bash
# Builds what benches/gpu/run.sh needs on a machine with a GPU into
# benches/gpu/carried (not in the repository): one program, with all kernels in it.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo xtask kernels
cargo build --release --package longtake-kernels-check
mkdir -p benches/gpu/carried
cp "${CARGO_TARGET_DIR:-target}/release/longtake-kernels-check" benches/gpu/carried/
strip benches/gpu/carried/longtake-kernels-check
du -sh benches/gpu/carried
