"""Called by benches/gather.rs: solves and gathers with the Python prototype.

prototype_gather.py PROTOTYPE_DIR CLIP ROWS OUT_DIR writes OUT_DIR/plate.f32 and
OUT_DIR/made.f32 (frames, rows, columns, RGB in 0..1) and OUT_DIR/list.json.
"""

import json
import sys
import time

import cv2
import numpy as np

prototype, clip, rows, out = sys.argv[1:5]
sys.path.insert(0, prototype)
import time_map  # noqa: E402

PLATE, OUTPUT, KEEP = 75, 250, 25

movie = cv2.VideoCapture(clip)
frames = []
while len(frames) < PLATE:
    ok, frame = movie.read()
    if not ok:
        break
    width = round(frame.shape[1] * int(rows) / frame.shape[0])
    frame = cv2.resize(frame, (width, int(rows)), interpolation=cv2.INTER_AREA)
    frames.append(frame.astype(np.float32) / 255)
plate = np.stack(frames)

engine = time_map.Engine(plate)
engine.solve(OUTPUT, seed=0, keep=KEEP)
# The frames around the middle two changes of clip and as many between: all
# kinds of frame in the proportions of a real sequence.
middle = len(plate)
chosen = list(range(middle, min(middle + 60, OUTPUT)))
engine.render(frames=chosen[:1])  # compiles
begun, worked = time.perf_counter(), time.process_time()
made, _ = engine.render(frames=chosen)
seconds, processor = time.perf_counter() - begun, time.process_time() - worked

plate[..., ::-1].tofile(f"{out}/plate.f32")
made[..., ::-1].tofile(f"{out}/made.f32")
with open(f"{out}/list.json", "w") as f:
    json.dump(
        {
            "width": plate.shape[2],
            "height": plate.shape[1],
            "plate_frames": len(plate),
            "out_frames": OUTPUT,
            "keep": KEEP,
            "window": int(engine.L),
            "offset": int(engine.D[0]),
            "frames": chosen,
            "seconds": seconds,
            "processor": processor,
            "at": [int(a) for a in engine.A],
            "offsets": [int(d) for d in engine.D[1:]],
            "switch": [np.minimum(s, 255).ravel().tolist() for s in engine.S],
        },
        f,
    )
