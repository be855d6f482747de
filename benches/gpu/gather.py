#!/usr/bin/env python3
"""How fast the gather is in frames of real takes: movies enlarged to 4K, ten seconds made
of their first three, and every tenth frame that is made by the node in a host, each
launch timed by ncu.

    python3 benches/gpu/gather.py MOVIE... [--json FILE]

Prints for each movie the mean time of a frame and the share of a copy's rate that is,
reading and writing each pixel once. The copy is `kernels-check --rate`'s kind: 1 GB on
the device, timed by events. Needs ncu, OpenCV, torch, and what `benches/gpu/carry.sh`
lays into benches/gpu/carried.
"""

import argparse
import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import torch

HERE = Path(__file__).resolve().parent
CARRIED = HERE / "carried"
WIDTH, HEIGHT = 3840, 2160


def copy_rate():
    """Bytes a second, read and written."""
    one = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    other = torch.empty_like(one)
    times = []
    for _ in range(10):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        other.copy_(one)
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    del one, other
    torch.cuda.empty_cache()
    return 2 * (1 << 30) / statistics.median(times)


def enlarge(movie, folder):
    """The first three seconds as PNG; how many frames, and how many a second."""
    film = cv2.VideoCapture(str(movie))
    rate = film.get(cv2.CAP_PROP_FPS) or 25.0
    frames = []
    while len(frames) < round(3 * rate):
        there, frame = film.read()
        if not there:
            break
        frames.append(frame)

    def write(i):
        large = cv2.resize(frames[i], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"p.{i + 1:04d}.png"), large, [cv2.IMWRITE_PNG_COMPRESSION, 1])

    list(ThreadPoolExecutor().map(write, range(len(frames))))
    return len(frames), rate


def measure(movie, copy):
    folder = Path(tempfile.mkdtemp(prefix="longtake-gather-"))
    try:
        count, rate = enlarge(movie, folder)
        last = round(10 * rate)
        made = range(count + 5, last, 10)
        libraries = ":".join([str(CARRIED / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":")
        environment = os.environ | {"LD_LIBRARY_PATH": libraries, "LONGTAKE_STORE": str(folder / "store")}
        words = [
            "ncu", "--csv", "--metrics", "gpu__time_duration.sum", "-k", "regex:gather", "--clock-control", "none",
            str(CARRIED / "longtake-host"), "--like", "resolve", "--path", str(CARRIED), "--context", "generator",
            "--fps", str(rate), "--project", f"{WIDTH},{HEIGHT}", "--set", f"plate={folder / 'p.####.png'}",
            "--set", f"frames=1,{last}", "--set", "device=GPU", "--render", ",".join(map(str, made)),
        ]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
        lines = [line for line in done.stdout.splitlines() if line.startswith('"')]
        rows = [row for row in csv.DictReader(lines) if row.get("Metric Name") == "gpu__time_duration.sum"]
        scale = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "nsecond": 1e-9, "usecond": 1e-6, "msecond": 1e-3}
        times = [float(row["Metric Value"].replace(",", "")) * scale[row["Metric Unit"]] for row in rows]
        names = sorted({row["Kernel Name"] for row in rows})
        # A frame takes several launches, of which the first is that of still places; what is
        # tried before a GPU is used is small.
        frames = []
        for row, seconds in zip(rows, times):
            if "still" in row["Kernel Name"] or not frames:
                frames.append(0.0)
            frames[-1] += seconds
        times = [t for t in frames if t > 20e-6]
        if not times:
            return {"movie": movie.name, "failed": (done.stdout + done.stderr)[-1500:]}
        # The trial has one of the other kind.
        made = [re.search(r"gather_still_(\d)", row["Kernel Name"]) for row in rows[-3:]]
        channels = int(next((m.group(1) for m in made if m), 0))
        seconds = statistics.mean(times)
        return {
            "movie": movie.name,
            "kernels": names,
            "frames": len(times),
            "microseconds": [round(1e6 * t, 1) for t in times],
            "mean_microseconds": 1e6 * seconds,
            "of_copy": 2 * 4 * channels * WIDTH * HEIGHT / copy / seconds,
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("movies", nargs="+", type=Path)
    parser.add_argument("--json")
    args = parser.parse_args()
    copy = copy_rate()
    print(f"a copy moves {copy / 1e9:.0f} GB/s", flush=True)
    told = {"command": "benches/gpu/gather.py", "copy_bytes_per_second": copy, "takes": []}
    for movie in args.movies:
        told["takes"].append(measure(movie, copy))
        print(json.dumps(told["takes"][-1]), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(told, indent=1) + "\n")
    sys.exit(0 if all("of_copy" in t for t in told["takes"]) else 1)


main()
