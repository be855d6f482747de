#!/usr/bin/env python3
"""An evaluation of the Wan transformer on a GPU by Longtake's object, and beside it by
diffusers in torch with the fastest attention that torch picks, the same random weights
and inputs, run by run in turn; how far the two are apart, and one JSON file.

    python3 benches/gpu/transformer.py [--size 81x480x832] [--layers 30] [--rounds 5]

Of Wan 2.1 1.3B by default, at 81 frames of 832 x 480. Needs the object that `cargo xtask
cuda` builds (benches/gpu/carried or --object), the driver and CUDA 13's libraries: the
system's, or those that torch of PyPI brings. Where torch and diffusers are missing our
own time alone is told. `--cpu` tries all of it with the object of `cargo xtask cuda
--on-cpu` and torch on the CPU, at a small size: no measurement.
"""

import argparse
import array
import ctypes
import datetime
import glob
import json
import os
import random
import statistics
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARIES = ["libcuda.so.1", "libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10"]
INTERFACE = 1
F32, BF16 = 0, 2
GIVEN = 65537  # numbers that weights repeat after: a prime, so rows differ


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_uint8)), ("len", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class Given(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


GET = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.c_size_t,
    ctypes.c_uint32,
    ctypes.POINTER(Given),
)
STOP = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)


def open_libraries():
    """CUDA's libraries, for all in the process to find."""
    folders = [p for entry in sys.path for p in glob.glob(os.path.join(entry, "nvidia", "*", "lib"))]
    for name in LIBRARIES:
        for path in [name] + [os.path.join(folder, name) for folder in folders]:
            try:
                ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
                break
            except OSError:
                continue
        else:
            sys.exit(f"{name} was not found: install CUDA 13's libraries, or torch, which brings them")


class Weights:
    """Random weights by name and shape, in f32 or bf16, the same for both sides."""

    def __init__(self):
        draw = random.Random(1)
        self.numbers = [draw.uniform(-1, 1) for _ in range(GIVEN)]
        self.blocks = {}
        self.shapes = {}

    def block(self, by, around, kind):
        key = (by, around, kind)
        if key not in self.blocks:
            values = array.array("f", [around + by * v for v in self.numbers])
            data = values.tobytes()
            if kind == BF16:
                # The upper half of each number.
                data = b"".join(data[i + 2 : i + 4] for i in range(0, len(data), 4))
            self.blocks[key] = data
        return self.blocks[key]

    def get(self, name, shape, kind):
        count = 1
        for n in shape:
            count *= n
        self.shapes[name] = (tuple(shape), kind)
        norm = "norm" in name and name.endswith("weight")
        width = count // shape[0] if len(shape) > 1 else shape[-1]
        by = 0.1 if norm else 1.7 / width**0.5
        block = self.block(by, 1.0 if norm else 0.0, kind)
        size = 2 if kind == BF16 else 4
        # Each begins elsewhere in the block.
        turn = size * (sum(name.encode()) * 7919 % GIVEN)
        block = block[turn:] + block[:turn]
        return (block * (count // GIVEN + 1))[: count * size]


def message(parts):
    """A safetensors file of f32 parts: name to shape and array."""
    header, at = {}, 0
    for name, (shape, values) in parts.items():
        end = at + 4 * len(values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(values.tobytes() for _, values in parts.values())


def read_message(data, name):
    (length,) = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8 : 8 + length])[name]
    first, last = entry["data_offsets"]
    values = array.array("f")
    values.frombytes(data[8 + length + first : 8 + length + last])
    return values


class Ours:
    def __init__(self, path, config, weights, kind):
        self.lib = ctypes.CDLL(path)
        found = self.lib.longtake_transformer_interface()
        if found != INTERFACE:
            sys.exit(f"{path} speaks version {found}, this script {INTERFACE}: take both from one commit")
        self.lib.longtake_transformer_open.restype = ctypes.c_void_p
        self.lib.longtake_transformer_free.argtypes = [Bytes]
        self.lib.longtake_transformer_free.restype = None
        text = json.dumps(config).encode()
        held = []

        def get(_, name, name_bytes, shape, rank, wanted, given):
            try:
                name = ctypes.string_at(name, name_bytes).decode()
                data = weights.get(name, [shape[i] for i in range(rank)], wanted)
                held[:] = [ctypes.create_string_buffer(data, len(data))]
                given[0] = Given(ctypes.addressof(held[0]), len(data))
                return 0
            except Exception as error:  # None may leave into the object.
                print(error, file=sys.stderr)
                return 1

        failure = Bytes()
        self.model = self.lib.longtake_transformer_open(
            ctypes.c_size_t(0),
            text,
            ctypes.c_size_t(len(text)),
            ctypes.c_uint32(kind),
            GET(get),
            None,
            ctypes.byref(failure),
        )
        if not self.model:
            sys.exit(f"the object takes no model: {self.taken(failure).decode()}")
        self.never = STOP(lambda _: 0)

    def taken(self, given):
        data = ctypes.string_at(given.data, given.len) if given.data else b""
        self.lib.longtake_transformer_free(given)
        return data

    def run(self, request):
        reply, failure = Bytes(), Bytes()
        answer = self.lib.longtake_transformer_run(
            ctypes.c_void_p(self.model),
            request,
            ctypes.c_size_t(len(request)),
            self.never,
            None,
            ctypes.byref(reply),
            ctypes.byref(failure),
        )
        if answer:
            sys.exit(f"the object failed: {self.taken(failure).decode()}")
        return self.taken(reply)


class Theirs:
    def __init__(self, torch, config, weights, device):
        from diffusers import WanTransformer3DModel

        self.torch, self.device = torch, device
        plain = {k: v for k, v in config.items() if not k.startswith("_")}
        kind = torch.float32 if device == "cpu" else torch.bfloat16
        with torch.device("meta"):
            model = WanTransformer3DModel(**plain)
        state = {}
        for name, (shape, given) in list(weights.shapes.items()):
            data = bytearray(weights.get(name, shape, given))
            dtype = torch.bfloat16 if given == BF16 else torch.float32
            state[name] = torch.frombuffer(data, dtype=dtype).reshape(shape).to(device)
        model.load_state_dict(state, strict=True, assign=True)
        # What is no weight was made on no device.
        model.rope = type(model.rope)(config["attention_head_dim"], tuple(config["patch_size"]), 1024)
        # In bf16, but for what diffusers itself keeps wide.
        wide = tuple(getattr(model, "_keep_in_fp32_modules", None) or ())
        for name, value in model.named_parameters():
            keep = any(part in name for part in wide)
            value.data = value.data.to(torch.float32 if keep else kind)
        self.model = model.to(device).eval()
        self.kind = kind

    def run(self, parts):
        torch = self.torch
        tensor = lambda name: torch.tensor(parts[name][1]).reshape(parts[name][0]).to(self.device, self.kind)
        given = [tensor("latents"), torch.tensor([parts["times"][1][0]], device=self.device), tensor("text")]

        def once():
            with torch.no_grad():
                out = self.model(given[0], given[1], given[2], return_dict=False)[0]
            if self.device != "cpu":
                torch.cuda.synchronize()
            return out

        return once


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--object")
    parser.add_argument("--size", default="81x480x832", help="frames, rows and columns")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    parser.add_argument("--cpu", action="store_true")
    args = parser.parse_args()
    frames, rows, columns = map(int, args.size.split("x"))
    shape = [1, 16, (frames - 1) // 4 + 1, rows // 8, columns // 8]
    if not args.cpu:
        open_libraries()
    config = {
        "_class_name": "WanTransformer3DModel",
        "patch_size": [1, 2, 2],
        "num_attention_heads": 12,
        "attention_head_dim": 128,
        "in_channels": 16,
        "out_channels": 16,
        "text_dim": 4096,
        "freq_dim": 256,
        "ffn_dim": 8960,
        "num_layers": args.layers,
        "cross_attn_norm": True,
        "eps": 1e-6,
    }
    draw = random.Random(2)
    normal = lambda count: array.array("f", [draw.gauss(0, 1) for _ in range(count)])
    count = shape[1] * shape[2] * shape[3] * shape[4]
    parts = {
        "latents": (shape, normal(count)),
        "text": ([1, 512, 4096], normal(GIVEN) * (512 * 4096 // GIVEN + 1)),
        "times": ([1], array.array("f", [700.0])),
    }
    parts["text"] = (parts["text"][0], parts["text"][1][: 512 * 4096])
    weights = Weights()
    where = "../../target/transformer" if args.cpu else "carried"
    path = args.object or os.path.join(HERE, where, "liblongtake_transformer.so")
    ours = Ours(path, config, weights, F32 if args.cpu else BF16)
    request = message(parts)
    ways = {"longtake": lambda: ours.run(request)}
    theirs, versions = None, {}
    try:
        import diffusers
        import torch

        theirs = Theirs(torch, config, weights, "cpu" if args.cpu else "cuda")
        ways["torch"] = theirs.run(parts)
        versions = {"torch": torch.__version__, "diffusers": diffusers.__version__}
    except ImportError as error:
        print(f"beside nothing: {error}", file=sys.stderr)
    seconds = {name: [] for name in ways}
    last = {}
    for turn in range(args.rounds + 1):
        for name, way in ways.items():
            begun = time.perf_counter()
            last[name] = way()
            # The first of each warms up.
            if turn:
                seconds[name].append(time.perf_counter() - begun)
    apart = None
    if theirs:
        found = theirs.torch.tensor(read_message(last["longtake"], "velocity"))
        exact = last["torch"].float().flatten().cpu()
        apart = float((found - exact).norm() / exact.norm())
    named = "no GPU, a trial"
    if not args.cpu:
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        named = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()[0].strip()
    told = {
        "command": "benches/gpu/transformer.py " + " ".join(sys.argv[1:]),
        "date": datetime.date.today().isoformat(),
        "device": named,
        "layers": args.layers,
        "tokens": shape[2] * shape[3] * shape[4] // 4,
        "seconds_of_an_evaluation": {k: statistics.median(v) for k, v in seconds.items() if v},
        "relative_difference": apart,
        **versions,
    }
    text = json.dumps(told, indent=2)
    print(text)
    if args.json:
        with open(args.json, "w") as file:
            file.write(text + "\n")


main()
