"""Called by benches/decide.rs: analyses and decides with the Python prototype.

prototype_decide.py PROTOTYPE_DIR PLATE.f32 FRAMES HEIGHT WIDTH OUTPUT KEEP PLANS prints the
wall time and the processor time as JSON. What numba compiles is compiled first.
"""

import json
import sys
import time

import numpy as np

prototype, path = sys.argv[1:3]
frames, height, width, output, keep, plans = map(int, sys.argv[3:9])
sys.path.insert(0, prototype)
import time_map  # noqa: E402

plate = np.fromfile(path, np.float32).reshape(frames, height, width, 3)
time_map.Engine(plate).best(output, n=1, keep=keep)
begun, worked = time.perf_counter(), time.process_time()
time_map.Engine(plate).best(output, n=plans, keep=keep)
print(
    json.dumps(
        {
            "seconds": time.perf_counter() - begun,
            "processor": time.process_time() - worked,
        }
    )
)
