#!/usr/bin/env bash
# Sets up and passes every check: format, lints, the bundle, the headless host, the
# tests. Ends with the number of tests passed and failed.
set -euo pipefail
cd "$(dirname "$0")"
.ci/setup g++ clang-format ffmpeg libexpat1-dev libopenexr-dev libpng-dev python3-venv tcl
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

echo "== format"
cargo fmt --all --check
sources=$(git ls-files '*.cpp' '*.h' '*.hpp' '*.cu' '*.cuh')
[ -z "$sources" ] || echo "$sources" | xargs clang-format --dry-run -Werror
echo "== kernels"
cargo xtask kernels
echo "== lints"
cargo clippy --quiet --workspace --all-targets -- -D warnings
# Outside the workspace, with rooms of the engine taken in by path: what moves there
# breaks it unseen. Without CUDA, whose kernels take ten minutes.
echo "== transformer's object"
cargo check --quiet --locked --no-default-features --features on-cpu \
    --manifest-path kernels/transformer/Cargo.toml \
    --target-dir "${CARGO_TARGET_DIR:-target}/transformer"
echo "== bundle and host"
cargo xtask bundle --debug
cargo xtask host
echo "== farm tools"
.ci/farm-tools >/dev/null
echo "== tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --workspace --no-fail-fast 2>&1 | tee "$log" || status=$?
# A test that did not build or that died counts as a failed one.
awk -v status=$status '/^test result: / { passed += $4; failed += $6 }
     END { if (status && !failed) failed = 1; printf "%d passed, %d failed\n", passed, failed }' "$log"
exit $status
