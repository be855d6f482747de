#!/usr/bin/env bash
# Sets up, builds, and makes ten seconds out of three of real footage, into out/:
# EXR frames, a contact sheet, a preview and a report. Give options of
# 'longtake generate' to change the take: ./run.sh --seed 7 --mode loop
set -euo pipefail
cd "$(dirname "$0")"
.ci/setup g++ ffmpeg
cargo build --quiet --release --package longtake --bin longtake
time target/release/longtake generate \
    --plate examples/plates/stream-of-water.mp4 --mode extend --frames 1-300 \
    --out out/stream.####.exr \
    --contact-sheet out/contact-sheet.png --preview out/preview.mp4 --report out/report.json \
    "$@"
echo "Look at out/contact-sheet.png and play out/preview.mp4; the frames are out/stream.####.exr."
