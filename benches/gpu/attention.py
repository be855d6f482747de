#!/usr/bin/env python3
"""Attention on a GPU by Longtake's object, held against torch in f32, and timed beside
torch's flash, cuDNN's and memory-efficient attention in the same run.

    python3 benches/gpu/attention.py [--object ...] [--rounds 10] [--json ...]

Needs torch, and the object that `cargo xtask cuda` builds (benches/gpu/carried or
--object). Ends with 1 where an answer is wrong; where cuDNN refuses something the line
says so in cuDNN's own words.
"""

import argparse
import ctypes
import datetime
import json
import os
import statistics
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import libraries

HERE = os.path.dirname(os.path.abspath(__file__))
# batch, heads, queries, keys, width
SHAPES = [
    (1, 12, 1000, 1000, 128),
    (1, 12, 4097, 512, 128),
    (2, 12, 999, 257, 128),
    (1, 5, 700, 1, 128),
    (1, 3, 333, 1234, 64),
    (1, 12, 32760, 512, 128),
]
STEP = (1, 12, 32760, 32760, 128)
WAYS = {"the model's": 0, "cuDNN, one operation": 1, "cuDNN, several": 2, "our kernel": 3}
# Of what is computed in bf16: 8 bits of mantissa in weights and answers.
BOUND = 0.01


class Asked(ctypes.Structure):
    _fields_ = (
        [("ordinal", ctypes.c_size_t), ("way", ctypes.c_uint32), ("kind", ctypes.c_uint32)]
        + [(name, ctypes.c_uint64) for name in ("q", "k", "v", "out")]
        + [(name, ctypes.c_size_t) for name in ("batch", "heads", "queries", "keys", "width", "rounds")]
    )


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_uint8)), ("len", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class Ours:
    def __init__(self, path):
        libraries.open_all()
        self.lib = ctypes.CDLL(path)
        self.lib.longtake_transformer_free.argtypes = [Bytes]
        self.lib.longtake_transformer_free.restype = None
        self.lib.longtake_transformer_notice.restype = Bytes

    def text(self, given):
        text = ctypes.string_at(given.data, given.len).decode() if given.data else ""
        self.lib.longtake_transformer_free(given)
        return text

    def notices(self):
        while text := self.text(self.lib.longtake_transformer_notice()):
            yield text

    def run(self, way, q, k, v, heads, rounds=0):
        """The answers and the milliseconds, or none and what was said."""
        batch, queries, channels = q.shape
        out = torch.full_like(q, float("nan"))
        kind = 0 if q.dtype == torch.float32 else 2
        pointers = [t.data_ptr() for t in (q, k, v, out)]
        asked = Asked(0, WAYS[way], kind, *pointers, batch, heads, queries, k.shape[1], channels // heads, rounds)
        time, failure = ctypes.c_float(), Bytes()
        torch.cuda.synchronize()
        answer = self.lib.longtake_transformer_try_attention(
            ctypes.byref(asked), ctypes.byref(time), ctypes.byref(failure)
        )
        if answer:
            return None, self.text(failure)
        return out, time.value


def split(x, heads):
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def exact(q, k, v, heads):
    """In f32, some queries after the others."""
    torch.backends.cuda.matmul.allow_tf32 = False
    q, k, v = (split(t.float(), heads) for t in (q, k, v))
    parts = []
    for part in q.split(2048, 2):
        scores = part @ k.transpose(2, 3) * q.shape[3] ** -0.5
        parts.append(scores.softmax(3) @ v)
    return torch.cat(parts, 2).transpose(1, 2).flatten(2)


def tensors(shape, kind, seed):
    batch, heads, queries, keys, width = shape
    draw = torch.Generator("cuda").manual_seed(seed)
    normal = lambda n: torch.randn(batch, n, heads * width, device="cuda", generator=draw)
    # Scores strong enough that softmax is not flat.
    return [t.to(kind) for t in (normal(queries) * 2, normal(keys) * 2, normal(keys))]


def theirs(backend, q, k, v, heads, rounds):
    q, k, v = (split(t, heads) for t in (q, k, v))
    times = []
    try:
        with sdpa_kernel(backend), torch.no_grad():
            F.scaled_dot_product_attention(q, k, v)
            for _ in range(rounds):
                begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begun.record()
                F.scaled_dot_product_attention(q, k, v)
                ended.record()
                ended.synchronize()
                times.append(begun.elapsed_time(ended))
    except RuntimeError as error:
        return None, str(error).splitlines()[0]
    return statistics.median(times), None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--object", default=os.path.join(HERE, "carried", "liblongtake_transformer.so"))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json")
    args = parser.parse_args()
    ours = Ours(args.object)
    version = torch.backends.cudnn.version()
    print(f"torch {torch.__version__}, cuDNN {version}, {torch.cuda.get_device_name()}")
    wrong = 0
    errors = {}
    for number, shape in enumerate(SHAPES + [STEP]):
        for kind in (torch.bfloat16, torch.float32):
            q, k, v = tensors(shape, kind, number)
            true = exact(q, k, v, shape[1])
            for way in WAYS if kind == torch.bfloat16 else ["the model's"]:
                named = f"{shape} {kind} by {way}"
                found, said = ours.run(way, q, k, v, shape[1])
                if found is None:
                    print(f"REFUSED {named}: {said}")
                    continue
                apart = float((found.float() - true).norm() / true.norm())
                fine = apart < BOUND
                wrong += not fine
                errors[named] = apart
                print(f"{'PASS' if fine else 'FAIL'} {named}: {apart:.5f} apart")
            del q, k, v, true
    for text in ours.notices():
        print("notice:", text)
    batch, heads, queries, keys, width = STEP
    q, k, v = tensors(STEP, torch.bfloat16, 9)
    work = 4 * batch * heads * queries * keys * width
    times = {}
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
        time, said = theirs(backend, q, k, v, heads, args.rounds)
        times[f"torch {backend.name}"] = time if time else said
    for way in WAYS:
        _, time = ours.run(way, q, k, v, heads, args.rounds)
        times[way] = time
    for name, time in times.items():
        told = time if isinstance(time, str) else f"{time:.2f} ms, {work / time / 1e9:.0f} TFLOP/s"
        print(f"{name}: {told}")
    if args.json:
        told = {
            "command": f"benches/gpu/attention.py --rounds {args.rounds}",
            "date": datetime.date.today().isoformat(),
            "device": torch.cuda.get_device_name(),
            "torch": torch.__version__,
            "cudnn": version,
            "shape": STEP,
            "milliseconds": times,
            "relative_error": errors,
        }
        with open(args.json, "w") as file:
            json.dump(told, file, indent=2)
            file.write("\n")
    sys.exit(wrong > 0)


main()
