#!/usr/bin/env bash
# Builds what benches/gpu/run.sh needs on a machine with a GPU into
# benches/gpu/carried, and that into benches/gpu/carried.tar.xz, which is what travels
# (neither is in the repository; with the repository less than 64 MiB): the checks
# with all kernels in them, the transformer's object, which takes ten minutes the first
# time, the VAE's program, the command line, the bundle and a host for it, a plate, and
# what the scripts need of PyPI that a machine with torch mostly lacks. ffmpeg makes the
# plate.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
to=benches/gpu/carried
cargo xtask kernels
cargo build --release --package longtake-kernels-check
cargo build --release --bin longtake
program=$(cargo bench --bench gpu_vae --no-run 2>&1 | sed -n 's/.*(\(.*gpu_vae-[^)]*\)).*/\1/p')
object=$(cargo xtask cuda | tail -n 1)
cargo xtask bundle
cargo xtask host
rm -rf "$to"
mkdir -p "$to/lib" "$to/plate"
cp "$target"/release/{longtake,longtake-kernels-check} "$target/host/longtake-host" "$object" "$to"
cp "$program" "$to/gpu_vae"
cp -r "$target/bundle/Longtake.ofx.bundle" "$to"
# It lies beside already, and is most of what travels.
rm -f "$to"/Longtake.ofx.bundle/Contents/Linux-x86-64/liblongtake_transformer.so
# What the host needs beside the C and C++ libraries.
ldd "$to/longtake-host" | grep -oE '/[^ ]*lib(OpenEXR|Imath|IlmThread|Iex|png16|expat)[^ ]*' | xargs -I{} cp -L {} "$to/lib"
strip "$to"/{longtake*,gpu_vae,*.so} "$to"/Longtake.ofx.bundle/Contents/Linux-x86-64/*
ffmpeg -v error -i examples/plates/stream-of-water.mp4 -vf scale=240:-2,scale=720:-2:flags=bicubic -frames:v 24 -start_number 1001 "$to/plate/p.%04d.png"
python3 -m pip download -q --no-deps --only-binary=:all: -d "$to/wheels" diffusers==0.42.1 importlib-metadata==8.7.0
du -sh "$to"
archive=$to.tar.xz
tar cf - -C benches/gpu carried | xz -T0 -6 >"$archive"
{ git ls-files -z && printf '%s\0' "$archive"; } | du -cb --files0-from=- | awk -v archive="$archive" '{ all = $1 }
    END { printf "%s: with the repository %.1f MiB\n", archive, all / 1048576; exit all > 64 * 1048576 }'
