#!/usr/bin/env bash
# A named check, not part of ./test.sh: the report's measures beside public
# implementations (numpy, scipy, scikit-image and OpenCV from PyPI) on the same frames.
# Prints both figures of each. Needs ffmpeg and python3-venv; the packages are kept
# under target/measures-tools.
#   tests/measures.sh [LONGTAKE]
set -euo pipefail
cd "$(dirname "$0")/.."
longtake=$(realpath "${1:-target/release/longtake}")
tools=${CARGO_TARGET_DIR:-target}/measures-tools
if ! cmp -s tests/measures-requirements.txt "$tools/made-from.txt"; then
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check -r tests/measures-requirements.txt
    cp tests/measures-requirements.txt "$tools/made-from.txt"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Bare PNGs: frames that tell nothing of where they come from are all measured.
ffmpeg -hide_banner -loglevel error -i examples/plates/stream-of-water.mp4 "$work/p.%04d.png"
"$longtake" generate --plate "$work/p.####.png" --plate-range 1-90 --fps 29.97 --frames 1-240 \
    --plans 1 --store "$work/store" --out "$work/made.####.png" >/dev/null
ffmpeg -hide_banner -loglevel error -i "$work/made.%04d.png" -map_metadata -1 "$work/o.%04d.png"
"$longtake" report "$work/o.####.png" --plate "$work/p.####.png" --fps 29.97 \
    --report "$work/report.json" >/dev/null
"$tools/bin/python" tests/measures.py "$work"
