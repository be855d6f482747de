#!/usr/bin/env python3
"""Makes several takes of a job at a quarter of its size and says where each lies:

    examples/seeds.py examples/shot.json 0 1 2

Shows how a script reads the JSON lines of `longtake generate --json`. Needs `longtake` on
PATH, or its path in the variable LONGTAKE.
"""

import json
import os
import subprocess
import sys


def take(job, seed):
    """Makes the take of `seed`; returns its frames' files, or None where it failed."""
    command = [
        os.environ.get("LONGTAKE", "longtake"), "generate", "--json",
        "--job", job, "--seed", str(seed), "--scale", "1/4",
        "--out", f"out/seed-{seed}/look.####.png",
        "--contact-sheet", f"out/seed-{seed}/contact-sheet.png",
        "--report", f"out/seed-{seed}/report.json",
    ]
    files = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        for line in run.stdout:
            event = json.loads(line)
            match event["event"]:
                case "progress":
                    print(f"\rseed {seed}: {event['stage']} {event['fraction']:.0%}   ", end="", flush=True)
                case "warning":
                    print(f"\nseed {seed}: {event['message']}")
                case "frame":
                    files.append(event["file"])
                case "error":
                    print(f"\nseed {seed}: {event['message']}")
    print()
    return files if run.returncode == 0 else None


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    failed = 0
    for seed in sys.argv[2:]:
        files = take(sys.argv[1], seed)
        if files is None:
            failed += 1
        else:
            print(f"seed {seed}: {len(files)} frames in {os.path.dirname(files[0])}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
