#!/usr/bin/env python3
"""Evaluations of the transformers of Wan 1.3B and 14B, and of 14B on a GPU that is to lend
it a part of its memory, as a card of 24 GB has it: whether no more is taken than was
counted or lent, the same bits, and the times.

    python3 benches/gpu/large.py [--memory 22] [--size 81x480x832] [--rounds 2] [--json FILE]

Random weights, drawn on the way and held nowhere. Needs torch with CUDA 13, the object that
`cargo xtask cuda` builds (benches/gpu/carried or --object), some 40 GB of the GPU's memory
for the whole model and as much of the machine's. Ends with 1 where the bits differ or more
was taken.
"""

import argparse
import datetime
import json
import os
import statistics
import sys
import threading
import time
import zlib

import torch

import libraries
from object import BASE, WIDE, GpuMemory, Model, Object, message, scaled

HERE = os.path.dirname(os.path.abspath(__file__))
LARGE = BASE | WIDE | {"num_layers": 40}
# What the GPU's libraries work in, as src/engine/wan/checkpoint/inspect.rs has it.
LIBRARIES = 640 << 20


class Drawn:
    """Random weights, each a stretch of one store of numbers, scaled; by name."""

    def __init__(self, count):
        draw = torch.Generator("cuda").manual_seed(1)
        self.store = torch.randn(count, generator=draw, device="cuda").to(torch.bfloat16).cpu()
        torch.cuda.empty_cache()
        self.bytes = 0

    def get(self, name, shape, kind):
        count = 1
        for side in shape:
            count *= side
        first = zlib.crc32(name.encode()) % (len(self.store) - count)
        values = self.store[first : first + count].reshape(shape)
        self.bytes += 2 * count
        return scaled(name, values).to(kind)


class Watched:
    """The most of the GPU's memory that was taken while it was open."""

    def __enter__(self):
        self.begin = self.most = self.taken()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def taken(self):
        free, total = torch.cuda.mem_get_info()
        return total - free

    def watch(self):
        while not self.ended.wait(0.005):
            self.most = max(self.most, self.taken())

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    @property
    def more(self):
        return self.most - self.begin


class Measured:
    """Evaluations of a model of which `lent` bytes may be on the GPU; 0 for all of it."""

    def __init__(self, owner, config, sizes, lent, rounds):
        frames, rows, columns = sizes
        latents = [(frames - 1) // 4 + 1, rows // 8, columns // 8]
        self.tokens = latents[0] * latents[1] * latents[2] // 4
        inner = config["num_attention_heads"] * config["attention_head_dim"]
        largest = inner * config["ffn_dim"]
        # As `memory` in src/engine/wan/checkpoint/inspect.rs counts them.
        part = 20 * inner + 2 * config["ffn_dim"] + 4 * config["attention_head_dim"]
        working = self.tokens * part + LIBRARIES
        values = config["num_layers"] * (8 * inner * inner + 2 * largest)
        memory = GpuMemory(weights=2 * values + values // 50, largest=2 * largest, working=working, most=lent)
        # The largest of all makes the times' modulation.
        weights = Drawn(6 * inner * inner + 50_000_000)
        draw = torch.Generator().manual_seed(2)
        request = message(
            {
                "latents": torch.randn([1, config["in_channels"], *latents], generator=draw),
                "text": torch.randn([1, 512, config["text_dim"]], generator=draw),
                "times": torch.tensor([700.0]),
            }
        )
        with Watched() as watched:
            begun = time.perf_counter()
            model = Model(owner, config, weights, torch.bfloat16, memory)
            loading = time.perf_counter() - begun
            seconds = []
            for _ in range(rounds + 1):
                begun = time.perf_counter()
                self.found = model.run(request)
                seconds.append(time.perf_counter() - begun)
            model.close()
        allowed = lent or weights.bytes + working
        self.within = watched.more <= allowed
        self.told = {
            "tokens": self.tokens,
            "layers": config["num_layers"],
            "seconds_of_loading": loading,
            "first_seconds": seconds[0],
            "seconds": statistics.median(seconds[1:]),
            "bytes_of_weights": weights.bytes,
            "bytes_to_work_in": working,
            "bytes_allowed": allowed,
            "bytes_taken_at_most": watched.more,
            "notices": list(owner.notices()),
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--object", default=os.path.join(HERE, "carried", "liblongtake_transformer.so"))
    parser.add_argument("--memory", type=float, default=22, help="GiB that are lent")
    parser.add_argument("--size", default="81x480x832", help="frames, rows and columns")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json")
    args = parser.parse_args()
    libraries.open_all()
    owner = Object(args.object)
    sizes = list(map(int, args.size.split("x")))
    told = {
        "command": "benches/gpu/large.py " + " ".join(sys.argv[1:]),
        "date": datetime.date.today().isoformat(),
        "device": torch.cuda.get_device_name(),
        "size": args.size,
        "models": {},
    }

    def write():
        """What is known so far: what follows may fail."""
        if args.json:
            with open(args.json, "w") as file:
                file.write(json.dumps(told, indent=2) + "\n")

    lent = int(args.memory * (1 << 30))
    runs = {"1.3B": (BASE, 0), "14B": (LARGE, 0), f"14B with {args.memory:g} GiB": (LARGE, lent)}
    made = {}
    for name, (config, most) in runs.items():
        made[name] = Measured(owner, config, sizes, most, args.rounds)
        told["models"][name] = made[name].told
        print("PASS" if made[name].within else "FAIL", name, json.dumps(made[name].told), flush=True)
        write()
    _, whole, part = made.values()
    told["the same"] = whole.found == part.found
    told["right"] = told["the same"] and all(run.within for run in made.values())
    print("PASS" if told["right"] else "FAIL", "a model larger than the memory that is lent: the same", told["the same"])
    write()
    sys.exit(0 if told["right"] else 1)


main()
