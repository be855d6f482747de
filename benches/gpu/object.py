"""Longtake's object (`kernels/transformer`) by its C interface, for the scripts beside
this one: a model of random weights, and its evaluations. Needs torch."""

import ctypes
import json
import struct
import sys
import zlib

import torch

INTERFACE = 3
# Wan 2.1 1.3B's transformer.
BASE = {
    "_class_name": "WanTransformer3DModel",
    "patch_size": [1, 2, 2],
    "num_attention_heads": 12,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 8960,
    "num_layers": 30,
    "cross_attn_norm": True,
    "eps": 1e-6,
}
# What 14B's is like where it differs.
WIDE = {"num_attention_heads": 40, "ffn_dim": 13824}
KINDS = [torch.float32, torch.float16, torch.bfloat16]


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(ctypes.c_uint8)), ("len", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class GpuMemory(ctypes.Structure):
    """As `GpuMemory` in src/engine/wan/transformer/message.rs."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("weights", "largest", "working", "most")]


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


def scaled(name, values):
    """Normal numbers of a size that keeps that of what goes through a model."""
    if "norm" in name and name.endswith("weight"):
        return 1 + 0.1 * values
    if name.endswith("weight"):
        return values * (values.numel() / values.shape[0]) ** -0.5
    return values * 0.3


class Weights:
    """Random weights by name and shape, the same for whoever asks."""

    def __init__(self, device):
        self.device = device
        self.made = {}

    def get(self, name, shape, kind):
        if name not in self.made:
            draw = torch.Generator(self.device).manual_seed(zlib.crc32(name.encode()))
            values = torch.randn(shape, generator=draw, device=self.device)
            # As a checkpoint has it: what is asked for later is made of this.
            self.made[name] = scaled(name, values).to(kind)
        return self.made[name].to(kind)


def message(parts):
    """A safetensors file of f32 and u32 parts, by name."""
    header, pieces, at = {}, [], 0
    for name, values in parts.items():
        values = values.detach().cpu().contiguous()
        whole = values.dtype in (torch.int32, torch.int64)
        values = values.to(torch.int32 if whole else torch.float32)
        data = values.numpy().tobytes()
        offsets = [at, at + len(data)]
        header[name] = {"dtype": "U32" if whole else "F32", "shape": list(values.shape), "data_offsets": offsets}
        pieces.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(pieces)


def read_message(data, name):
    (length,) = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8 : 8 + length])[name]
    first, last = entry["data_offsets"]
    values = torch.frombuffer(bytearray(data[8 + length + first : 8 + length + last]), dtype=torch.float32)
    return values.reshape(entry["shape"])


class Object:
    """The object itself."""

    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        found = self.lib.longtake_transformer_interface()
        if found != INTERFACE:
            sys.exit(f"{path} speaks version {found}, this script {INTERFACE}: take both from one commit")
        self.lib.longtake_transformer_open.restype = ctypes.c_void_p
        self.lib.longtake_transformer_free.argtypes = [Bytes]
        self.lib.longtake_transformer_free.restype = None
        self.lib.longtake_transformer_close.argtypes = [ctypes.c_void_p]
        self.lib.longtake_transformer_close.restype = None
        self.lib.longtake_transformer_notice.restype = Bytes

    def taken(self, given):
        data = ctypes.string_at(given.data, given.len) if given.data else b""
        self.lib.longtake_transformer_free(given)
        return data

    def notices(self):
        """What it does slower than it could, each once."""
        while text := self.taken(self.lib.longtake_transformer_notice()).decode():
            yield text


class Model:
    """A model in the object."""

    def __init__(self, owner, config, weights, kind, memory=None):
        self.owner = owner
        text = json.dumps(config).encode()
        held = []

        def get(_, name, name_bytes, shape, rank, wanted, given):
            try:
                name = ctypes.string_at(name, name_bytes).decode()
                values = weights.get(name, [shape[i] for i in range(rank)], KINDS[wanted]).cpu().contiguous()
                held[:] = [values]
                given[0] = Given(values.data_ptr(), values.numel() * values.element_size())
                return 0
            except Exception as error:  # None may leave into the object.
                print(error, file=sys.stderr)
                return 1

        failure = Bytes()
        self.model = owner.lib.longtake_transformer_open(
            ctypes.c_size_t(0),
            text,
            ctypes.c_size_t(len(text)),
            ctypes.c_uint32(KINDS.index(kind)),
            memory or GpuMemory(),
            GET(get),
            None,
            ctypes.byref(failure),
        )
        if not self.model:
            sys.exit(f"the object takes no model: {owner.taken(failure).decode()}")
        self.never = STOP(lambda _: 0)

    def run(self, request):
        """The velocity, as bytes of a message."""
        reply, failure = Bytes(), Bytes()
        answer = self.owner.lib.longtake_transformer_run(
            ctypes.c_void_p(self.model),
            request,
            ctypes.c_size_t(len(request)),
            self.never,
            None,
            ctypes.byref(reply),
            ctypes.byref(failure),
        )
        if answer:
            raise RuntimeError(f"the object failed: {self.owner.taken(failure).decode()}")
        return self.owner.taken(reply)

    def close(self):
        self.owner.lib.longtake_transformer_close(self.model)
        self.model = None
