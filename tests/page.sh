#!/usr/bin/env bash
# A named check, not part of ./test.sh: opens the report's page in a real browser
# (Debian's chromium, without a display) and sees that both players have a
# picture. Needs chromium and ffmpeg: sudo apt-get install chromium ffmpeg
#   tests/page.sh [LONGTAKE]
set -euo pipefail
cd "$(dirname "$0")/.."
longtake=$(realpath "${1:-target/release/longtake}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LONGTAKE_STORE="$work/store" "$longtake" generate \
    --plate examples/plates/stream-of-water.mp4 --frames 1-150 --scale 1/2 --plans 1 \
    --out "$work/o.####.png" --page "$work/page.html" >/dev/null
chromium --headless --no-sandbox --disable-gpu --mute-audio \
    --virtual-time-budget=20000 --timeout=60000 \
    --screenshot="$work/page.png" --window-size=1100,1600 \
    "file://$work/page.html" >/dev/null 2>&1 || true
dom=$(chromium --headless --no-sandbox --disable-gpu --mute-audio \
    --virtual-time-budget=20000 --timeout=60000 --dump-dom "file://$work/page.html" 2>/dev/null)
[ -n "${KEEP:-}" ] && cp "$work/page.png" "$work/page.html" "$KEEP"
ready=$(grep -o 'data-ready="[0-9]*"' <<<"$dom" | head -1)
if [ "$ready" = 'data-ready="2"' ]; then
    echo "the page plays: plate and sequence both have a picture"
else
    echo "the page does not play: ${ready:-its script did not run}" >&2
    exit 1
fi
