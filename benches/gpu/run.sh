#!/usr/bin/env bash
# On a machine with an NVIDIA GPU and what benches/gpu/carry.sh made (no Rust, no
# network): holds every kernel against its twin, runs compute-sanitizer over them where
# it is installed, measures each beside a plain copy of the same run, and writes one
# JSON file, by default to benches/results.
set -euo pipefail
cd "$(dirname "$0")"
program=carried/longtake-kernels-check
if [ ! -x "$program" ]; then
    echo "$program is not there: run benches/gpu/carry.sh on a machine with Rust and carry the folder over" >&2
    exit 1
fi
name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1 | tr -cs 'A-Za-z0-9' '-' | sed 's/^-*//; s/-*$//' || true)
out=${1:-../results}
mkdir -p "$out"
date=$(date -u +%F)
LONGTAKE_BENCH_DATE=$date "$program" --rate --json "$out/gpu-${name:-unknown}-$date.json"
echo "$out/gpu-${name:-unknown}-$date.json"
python=${LONGTAKE_PYTHON:-python3}
if [ -f carried/liblongtake_transformer.so ] && "$python" -c 'import torch' 2>/dev/null; then
    "$python" transformer.py --json "$out/transformer-${name:-unknown}-$date.json"
    "$python" attention.py --json "$out/attention-${name:-unknown}-$date.json"
fi
if [ -x carried/gpu_vae ]; then
    "$python" vae.py --json "$out/vae-${name:-unknown}-$date.json"
fi
