"""Holds the measures and the cut of this bench against others' code, by hand and not in CI:

    python benches/quality/check.py PROTOTYPE PROGRAM

PROTOTYPE is the folder with measure.py and baselines.py (numpy, opencv, numba, PyMaxflow), PROGRAM
the bench (the file that `cargo bench --bench quality --no-run` names). Prints the largest
difference of each measure over made-up sequences and the cuts' capacities; exits 1 where they
differ by more than 1e-4.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import maxflow
import numpy as np

sys.path.insert(0, sys.argv[1])
from measure import measure  # noqa: E402

NAMES = dict(
    frame_difference="fd", sharpness="sharp", deviation="tstd", worst_step="smax",
    smallest_step="smin", plate_worst_step="pmax", plate_smallest_step="pmin", join="join",
    luma="luma", spurious="spur", jump="seam_t", copy="copy", copy_worst="copymax", kept="kept",
)


def run(*arguments):
    return subprocess.run(
        [sys.argv[2], *map(str, arguments)], capture_output=True, text=True, check=True
    ).stdout


def textures(rng, frames=60, height=72, width=96):
    """Waves that run on, with grain."""
    t, y, x = np.ogrid[:frames, :height, :width]
    picture = np.full((frames, height, width, 3), 0.5, np.float32)
    for _ in range(20):
        k = rng.normal(0, 0.3, 2)
        wave = np.sin(k[0] * x + k[1] * y + rng.uniform(0.1, 0.6) * t + rng.uniform(0, 6))
        picture += 0.04 * wave[..., None].astype(np.float32) * rng.uniform(0, 1, 3).astype(np.float32)
    return np.clip(picture + rng.normal(0, 0.005, picture.shape), 0, 1).astype(np.float32)


worst = 0.0
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        plate = textures(rng)
        frames, keep, fps = 130, 20, 25
        source = np.broadcast_to(np.arange(frames)[:, None, None], (frames, *plate.shape[1:3])).copy()
        for at in (25, 60, 95):
            switch = at + rng.integers(0, 8, (9, 12)).repeat(8, 0).repeat(8, 1)
            offset = rng.integers(0, 15) - at
            later = np.arange(frames)[:, None, None] >= switch
            source = np.where(later, np.arange(frames)[:, None, None] + offset, source)
        source = np.clip(source, 0, len(plate) - 1)
        output = np.take_along_axis(plate, source[..., None].repeat(3, -1), 0)
        plate.astype("<f4").tofile(folder / "made.plate.f32")
        output.astype("<f4").tofile(folder / "made.up.f32")
        source.astype("<i2").tofile(folder / "made.up.i16")
        facts = dict(shape=output.shape, plate=plate.shape, fps=fps, keep=keep)
        (folder / "made.up.json").write_text(json.dumps(facts))
        ours = json.loads(run("--raw", folder, "made.up"))
        theirs = measure(output, plate, source, fps, keep)
        for name, other in NAMES.items():
            difference = abs(ours[name] - float(theirs[other]))
            worst = max(worst, difference)
            print(f"{seed} {name:<22}{ours[name]:>12.6f}{float(theirs[other]):>12.6f}{difference:>10.1e}")

        cost = rng.integers(0, 20000, (12, 30, 40)).astype("<i4")
        cost.tofile(folder / "cost.i32")
        depth, rows, cols = cost.shape
        graph = maxflow.Graph[int]()
        nodes = graph.add_grid_nodes(cost.shape)
        for axis in range(3):
            shape = np.zeros((3, 3, 3), int)
            shape[tuple(2 if a == axis else 1 for a in range(3))] = 1
            graph.add_grid_edges(nodes, cost + np.roll(cost, -1, axis), shape, symmetric=True)
        graph.add_grid_tedges(nodes[0], 0, 1 << 28)
        graph.add_grid_tedges(nodes[-1], 1 << 28, 0)
        ours, theirs = int(run("--cut", folder / "cost.i32", cols, rows, depth)), graph.maxflow()
        print(f"{seed} capacity of a cut      {ours:>12}{theirs:>12}")
        worst = max(worst, float(ours != theirs))
print("largest difference", worst)
sys.exit(worst > 1e-4)
