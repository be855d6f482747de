#!/usr/bin/env bash
# On a machine with an NVIDIA GPU and what benches/gpu/carry.sh made (no Rust, no
# network): holds every kernel against its twin, measures each beside a plain copy of the
# same run, with compute-sanitizer over them where that is installed; makes takes of the
# plate engine by the command line and by the node in a host; and, where there is torch
# with diffusers, holds the attention, the transformer and the VAEs against it, in turn,
# and makes a whole take of a model. What is right or wrong comes before what is fast, and
# cheap before dear. A part that cannot run is left out by its name.
#
#     benches/gpu/run.sh [FOLDER [PART...]]
#     parts: kernels takes attention transformer vae vae-2.2 gather transformer-time whole
#     large
#
# Writes FOLDER/gpu-DEVICE-TIME.json anew behind every part, and what was printed beside it
# as .log; FOLDER is benches/results by default. Ends with 1 where something is wrong or did
# not run. Each part has a limit of its own, and LONGTAKE_BENCH_SECONDS is one for all.
#
# On a machine that is lent for 15 minutes, of which its start takes one or two, with
# benches/gpu/carried.tar.xz brought along: one command of 9 minutes at most,
#
#     LONGTAKE_BENCH_SECONDS=510 benches/gpu/run.sh "$OUT"
#
# and what that left out, or is to be seen again, with the minutes that are left:
#
#     LONGTAKE_BENCH_SECONDS=180 benches/gpu/run.sh "$OUT" transformer-time whole
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
all="kernels takes attention transformer vae vae-2.2 gather transformer-time whole large"
mkdir -p "${1:-$here/../results}"
out=$(cd "${1:-$here/../results}" && pwd)
shift || true
python=${LONGTAKE_PYTHON:-python3}
if [ ! -d "$here/carried" ] && [ -f "$here/carried.tar.xz" ]; then
    tar xJf "$here/carried.tar.xz" -C "$here" || "$python" -m tarfile -e "$here/carried.tar.xz" "$here"
fi
if [ ! -x "$here/carried/longtake-kernels-check" ]; then
    echo "$here/carried is not filled: run benches/gpu/carry.sh on a machine with Rust and bring benches/gpu/carried.tar.xz along" >&2
    exit 1
fi
parts=${*:-$all}
for part in $parts; do
    case " $all " in *" $part "*) ;; *) echo "there is no part $part: $all" >&2 && exit 1 ;; esac
done
until=$((SECONDS + ${LONGTAKE_BENCH_SECONDS:-86400}))
name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1 | tr -cs 'A-Za-z0-9' '-' | sed 's/^-*//; s/-*$//')
export LONGTAKE_BENCH_DATE=$(date -u +%F) PYTHONUNBUFFERED=1
file="$out/gpu-${name:-none}-$(date -u +%F-%H%M)"
said=$(mktemp -d)
exec > >(tee "$file.log") 2>&1
tee=$!
trap 'rm -rf "$said"; exec >&- 2>&-; wait $tee' EXIT
# What is there, found and not loaded: that takes seconds.
found() {
    "$python" -c 'import importlib.util, sys
print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name)))' "$@"
}
# What of PyPI is missing there and travelled along.
if [ -z "$(found diffusers)" ] && ls "$here"/carried/wheels/*.whl >/dev/null 2>&1; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$said/site" "$here"/carried/wheels/*.whl
    export PYTHONPATH="$said/site${PYTHONPATH:+:$PYTHONPATH}"
fi
has=$(found torch diffusers cv2)
for program in nvidia-smi ncu; do
    command -v $program >/dev/null && has="$has $program"
done
# All parts that have come so far as one file.
write() {
    "$python" - "$said" "$file.json" <<'P'
import json, pathlib, sys


def read(path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        return {"not whole": str(error)}


parts = sorted(pathlib.Path(sys.argv[1]).glob("*.json"))
told = {path.stem: read(path) for path in parts}
fresh = pathlib.Path(sys.argv[2] + ".new")
fresh.write_text(json.dumps(told, indent=1) + "\n")
fresh.replace(sys.argv[2])
P
}
wrong=0
ended=()
# A part, its limit in seconds, what it needs beside the driver, and its command.
run() {
    local part=$1 limit=$2 needs=$3 why= code=0 need
    shift 3
    case " $parts " in *" $part "*) ;; *) return ;; esac
    for need in nvidia-smi $needs; do
        case " $has " in *" $need "*) ;; *) why="$why${why:+ and }$need" ;; esac
    done
    local left=$((until - SECONDS)) begun=$SECONDS
    if [ -n "$why" ]; then
        why="not run: $why is not here"
    elif [ $left -lt 10 ]; then
        why="not run: the time is up"
    else
        [ $limit -le $left ] || limit=$left
        echo "== $part, at most $limit s"
        timeout -k 5 $limit "$@" --json "$said/$part.json" || code=$?
        case $code in
            0) why=done ;;
            124 | 137) why="ended at its limit of $limit s" ;;
            *) why="ended with $code" ;;
        esac
    fi
    [ "$why" = done ] || wrong=1
    echo "== $part: $why, $((SECONDS - begun)) s"
    ended+=("$part	$why	$((SECONDS - begun))")
    printf '%s\n' "${ended[@]}" | "$python" -c 'import json, sys
rows = [line.rstrip("\n").split("\t") for line in sys.stdin]
print(json.dumps({part: {"outcome": why, "seconds": int(seconds)} for part, why, seconds in rows}))' >"$said/parts.json"
    write
}
cd "$here"
run kernels 240 "" carried/longtake-kernels-check --rate
run takes 120 "" "$python" takes.py
run attention 60 torch "$python" attention.py
run transformer 120 "torch diffusers" "$python" transformer.py --only check
run vae 100 "" "$python" vae.py --rounds 2
run vae-2.2 100 "" "$python" vae.py --newer --rounds 2
run gather 120 "torch cv2 ncu" "$python" gather.py ../../examples/plates/stream-of-water.mp4
run transformer-time 120 "torch diffusers" "$python" transformer.py --only time --rounds 3
run whole 240 "torch diffusers" "$python" whole.py
run large 180 torch "$python" large.py
echo "$file.json"
exit $wrong
