#!/bin/sh
# The slow check: makes the reference's outputs again with other seeds, odd sizes and
# frame counts, and runs the comparison on them, so that nothing is tuned to the
# stored ones.
# The tiny decoders of `preview` stay the stored ones: theirs need the published code,
# see make_preview.py.
#
#   tests/wan/reference/afresh.sh PYTHON [SEED...]
#
# PYTHON is the interpreter of an environment with requirements.txt.
set -eu
here=$(dirname "$0")
python=$1
shift
for seed in "${@:-$(date +%s)}"; do
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    echo "seed $seed"
    for script in "$here"/make_*.py; do
        "$python" "$script" "$folder" --seed "$seed" --odd
    done
    cp -r "$here/../fixtures/preview" "$folder"
    LONGTAKE_WAN_FIXTURES=$folder cargo test --test wan
    LONGTAKE_WAN_FIXTURES=$folder cargo test --lib engine::wan
    rm -rf "$folder"
done
