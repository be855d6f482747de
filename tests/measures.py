"""Holds the report of the frames in a folder against public implementations on the
same frames. See measures.sh.

| measure | held against | what may differ |
| --- | --- | --- |
| steps (temporal flickering), mean, gradients | numpy | rounding |
| deviation over time | numpy.std | rounding |
| spectrum of the mean | scipy.signal.periodogram | rounding |
| smoothness, steadiness of all pixels | numpy on cv2.resize(INTER_AREA) | rounding |
| warping error and motion | cv2.DISOpticalFlow (the same method, Kroeger 2016) and skimage.registration.optical_flow_tvl1 (another) | the flow: the error of pixels brought back depends on it, so with another method that figure is printed and not held |

No package on PyPI has, or none without a network's weights: spurious gradient, jumps
and copies (they need to know where pixels come from), ghosts, pairings that come back,
rhythm beyond its spectrum, grain level by level, NNFDIV (its authors publish code, not
a package), steadiness by what is seen (VBench's package needs torch and CLIP; here
pixels are compared).
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from scipy import signal
from skimage.registration import optical_flow_tvl1

WIDTH, PAIRS = 160, 12
folder = Path(sys.argv[1])
report = json.loads((folder / "report.json").read_text())
failed = []


def frames(prefix):
    read = [cv2.imread(str(p)) for p in sorted(folder.glob(f"{prefix}.*.png"))]
    return np.stack(read)[..., ::-1].astype(np.float32) / 255


def held(name, ours, theirs, within):
    """Prints the two and how far they are apart, of the larger."""
    ours, theirs = np.atleast_1d(ours).astype(float), np.atleast_1d(theirs).astype(float)
    apart = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-12)
    good = ours.shape == theirs.shape and (within is None or apart <= within)
    limit = "not held" if within is None else f"at most {within:.2g}"
    print(f"{'ok ' if good else 'BAD'} {name:34} {ours.mean():10.6f} {theirs.mean():10.6f}"
          f"   apart {apart:.2e}, {limit}")
    if not good:
        failed.append(name)


def evenly(first, last, n):
    return np.linspace(first, last, n).astype(int)


def small(clip):
    rows = -(-clip.shape[1] * WIDTH // clip.shape[2])
    return np.stack([cv2.resize(f, (WIDTH, rows), interpolation=cv2.INTER_AREA) for f in clip])


def dis(a, b):
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return flow.calc((a * 255).astype(np.uint8), (b * 255).astype(np.uint8), None)


def tvl1(a, b):
    v, u = optical_flow_tvl1(a, b)
    return np.stack([u, v], -1).astype(np.float32)


def warped(clip, flow):
    """Warping error (Lai et al. 2018) and mean length of the flow."""
    error = weight = motion = 0.0
    rows, cols = clip.shape[1:3]
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    length = lambda f: (f**2).sum(-1)
    for i in evenly(0, len(clip) - 2, PAIRS) + 1:
        a, b = clip[i - 1], clip[i]
        la, lb = a.mean(-1), b.mean(-1)
        there, back = flow(la, lb), flow(lb, la)
        tx, ty = x + there[..., 0], y + there[..., 1]
        inside = (tx >= 0) & (ty >= 0) & (tx <= cols - 1) & (ty <= rows - 1)
        at = lambda p: cv2.remap(p, tx, ty, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        met = at(back)
        occluded = length(there + met) > 0.01 * (length(there) + length(met)) + 0.5
        right = np.diff(there, axis=1, append=there[:, -1:])
        down = np.diff(there, axis=0, append=there[-1:])
        broken = length(right) + length(down) > 0.01 * length(there) + 0.002
        count = inside & ~occluded & ~broken
        error += (((a - at(b)) ** 2).mean(-1) * count).sum()
        weight += count.sum()
        motion += np.sqrt(length(there)).mean()
    return error / weight, motion / PAIRS


out, plate = frames("o"), frames("p")
measures, curves = report["measures"], report["curves"]
steps = lambda clip: np.abs(np.diff(clip, axis=0)).mean((1, 2, 3))
held("steps (temporal flickering)", curves["steps"], steps(out), 1e-4)
held("frame_difference", measures["frame_difference"], steps(out).mean() / steps(plate).mean(), 1e-4)
held("worst_step", measures["worst_step"], steps(out).max() / steps(plate).mean(), 1e-4)
held("mean of each frame", curves["luma"], out.mean((1, 2, 3)), 1e-4)
grey = lambda clip: clip.mean(-1)
gradient = lambda g: np.abs(np.diff(g, axis=2)).mean((1, 2)) + np.abs(np.diff(g, axis=1)).mean((1, 2))
held("gradient of each frame", curves["gradients"], gradient(grey(out)), 1e-3)
held("deviation", measures["deviation"], out[::2].std(0).mean() / plate[::2].std(0).mean(), 1e-3)

luma = out.mean((1, 2, 3), dtype=np.float64)
hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(len(luma)) + 0.5) / len(luma))
hertz, power = signal.periodogram(luma, fs=29.97, window=hann, detrend="linear", scaling="spectrum")
power[1:-1 if len(luma) % 2 == 0 else None] /= 2
theirs = power[2:] / power[2:].sum()
ours = np.array(curves["spectrum"])
held("spectrum: frequencies", ours[:, 0], hertz[2:], 1e-3)
held("spectrum: shares of the variance", ours[:, 1], theirs, 1e-3)

out, plate = small(out), small(plate)
bend = lambda clip: np.abs(clip[2:] - 2 * clip[1:-1] + clip[:-2]).mean()
held("smoothness", measures["smoothness"], bend(out) / bend(plate), 1e-3)
for flow, within in [(dis, 0.15), (tvl1, None)]:
    (error, motion), (own_error, own_motion) = warped(out, flow), warped(plate, flow)
    held(f"warping_error by {flow.__name__}", measures["warping_error"], error / own_error, within)
    held(f"motion by {flow.__name__}", measures["motion"], motion / own_motion, within or 0.15)

sys.exit(f"{len(failed)} measures differ: {', '.join(failed)}" if failed else 0)
