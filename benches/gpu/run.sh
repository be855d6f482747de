#!/usr/bin/env bash
# On a machine with an NVIDIA GPU and what benches/gpu/carry.sh made (no Rust, no
# network): holds every kernel against its twin, with compute-sanitizer too where that is
# installed, and measures each beside a plain copy of the same run; makes takes of the
# plate engine by the command line and by the node in a host; and, where there is torch
# with diffusers, holds the attention, the transformer and the VAEs against it, in turn,
# and makes a whole take of a model. Writes one JSON file, by default into benches/results;
# ends with 1 where something is wrong or did not run.
#
#     benches/gpu/run.sh [FOLDER [PART...]]     parts: kernels takes attention transformer vae vae-2.2 whole
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../results}
shift || true
if [ ! -x "$here/carried/longtake-kernels-check" ]; then
    echo "$here/carried is not filled: run benches/gpu/carry.sh on a machine with Rust and carry the folder over" >&2
    exit 1
fi
parts=${*:-kernels takes attention transformer vae vae-2.2 whole}
python=${LONGTAKE_PYTHON:-python3}
name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1 | tr -cs 'A-Za-z0-9' '-' | sed 's/^-*//; s/-*$//')
export LONGTAKE_BENCH_DATE=$(date -u +%F)
mkdir -p "$out"
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT
wrong=0
run() {
    local part=$1
    shift
    case " $parts " in *" $part "*) ;; *) return ;; esac
    echo "== $part"
    local begun=$SECONDS
    "$@" --json "$said/$part.json" || { wrong=1 && echo "$part: ended with $?"; }
    echo "== $part: $((SECONDS - begun)) s"
}
cd "$here"
run kernels carried/longtake-kernels-check --rate
run takes "$python" takes.py
run attention "$python" attention.py
run transformer "$python" transformer.py
run vae "$python" vae.py
run vae-2.2 "$python" vae.py --newer
run whole "$python" whole.py
file="$out/gpu-${name:-unknown}-$LONGTAKE_BENCH_DATE.json"
"$python" - "$said" "$file" <<'P'
import json, pathlib, sys

parts = sorted(pathlib.Path(sys.argv[1]).glob("*.json"))
told = {path.stem: json.loads(path.read_text()) for path in parts}
pathlib.Path(sys.argv[2]).write_text(json.dumps(told, indent=1) + "\n")
P
echo "$file"
exit $wrong
