#!/usr/bin/env python3
"""The Wan transformer on a GPU by Longtake's object, beside diffusers in torch, of the
same random weights.

    python3 benches/gpu/transformer.py [--size 81x480x832] [--layers 30] [--rounds 5]

First every variant at a small size (`--only time` leaves that out): how far the velocity
is from diffusers' in f32, beside how far diffusers' in bf16 is. Then the time of an
evaluation of Wan 2.1 1.3B, by default at 81 frames of 832 x 480, beside torch in bf16 by
each of its attentions, in turn; and one JSON file. `--compiled` adds torch.compile,
`--profile` where our own time goes, kernel by kernel.

Needs torch with CUDA 13, diffusers, and the object that `cargo xtask cuda` builds
(benches/gpu/carried or --object). `--cpu` tries all of it with the object of `cargo xtask
cuda --on-cpu`, at a size given small: no measurement. Ends with 1 where a variant is
wrong.
"""

import argparse
import contextlib
import datetime
import json
import os
import statistics
import subprocess
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import libraries
from object import BASE, WIDE, GpuMemory, Model, Object, Weights, message, read_message

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGE = {"image_dim": 1280, "added_kv_proj_dim": 1536, "in_channels": 36}
VACE = {"_class_name": "WanVACETransformer3DModel", "vace_layers": [0, 2], "vace_in_channels": 96}
MIDDLE = {"num_attention_heads": 24, "ffn_dim": 14336, "in_channels": 48, "out_channels": 48}
# Ours may be as far from f32 as torch in bf16 is, and a little more.
ALLOWED = 1.2


def random(shape, seed, device):
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(seed), device=device)


def inputs(config, latents, device, per_token=False):
    """The parts of a request."""
    tokens = latents[0] * latents[1] * latents[2] // 4
    parts = {
        "latents": random([1, config["in_channels"], *latents], 2, device),
        "text": random([1, 512, config["text_dim"]], 3, device),
        "times": torch.tensor([700.0]),
    }
    if per_token:
        parts["times"] = torch.tensor([0.0, 700.0])
        parts["token"] = (torch.arange(tokens) >= tokens // latents[0]).int()
    if "image_dim" in config:
        parts["image"] = random([1, 257, config["image_dim"]], 4, device)
    if "vace_layers" in config:
        parts["control"] = random([1, config["vace_in_channels"], *latents], 5, device)
        parts["scales"] = torch.tensor([1.0, 0.5])[: len(config["vace_layers"])]
    return parts


class Theirs:
    """diffusers' model of the same weights, in `kind`."""

    def __init__(self, config, weights, kind, device):
        import diffusers

        family = getattr(diffusers, config["_class_name"])
        plain = {k: v for k, v in config.items() if not k.startswith("_")}
        with torch.device("meta"):
            model = family(**plain)
        # In bf16, but for what diffusers itself keeps wide.
        wide = tuple(getattr(model, "_keep_in_fp32_modules", None) or ()) if kind != torch.float32 else ()
        state = {}
        for name, value in model.state_dict().items():
            keep = any(part in name for part in wide)
            state[name] = weights.get(name, value.shape, torch.float32 if keep else kind).clone()
        model.load_state_dict(state, strict=True, assign=True)
        # What is no weight was made on no device.
        model.rope = type(model.rope)(config["attention_head_dim"], tuple(config["patch_size"]), 1024)
        self.model, self.kind, self.device = model.to(device).eval(), kind, device

    def prepared(self, parts):
        """An evaluation with inputs that are there already."""
        on = lambda name: parts[name].to(self.device, self.kind) if name in parts else None
        times = parts["times"].to(self.device)
        if "token" in parts:
            times = times[parts["token"].long().to(self.device)][None]
        given = {"hidden_states": on("latents"), "timestep": times, "encoder_hidden_states": on("text")}
        given["encoder_hidden_states_image"] = on("image")
        if "control" in parts:
            given["control_hidden_states"] = on("control")
            given["control_hidden_states_scale"] = on("scales")

        def once():
            with torch.no_grad():
                return self.model(**given, return_dict=False)[0]

        return once


def apart(found, exact):
    found, exact = found.float().cpu(), exact.float().cpu()
    return float((found - exact).norm() / exact.norm())


def check(owner, device, small):
    """Every variant at a small size; true where all are right."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    bf16 = torch.bfloat16
    variants = [
        ("1.3B's layers", {}, bf16, False),
        ("1.3B's layers in f16", {}, torch.float16, False),
        ("14B's layers", WIDE, bf16, False),
        ("TI2V 5B's layers, a time for each token", MIDDLE, bf16, True),
        ("with an image", IMAGE, bf16, False),
        ("VACE", VACE, bf16, False),
    ]
    latents, layers = ([3, 8, 12], 3) if small else ([3, 30, 52], 4)
    right = True
    for name, change, kind, per_token in variants:
        config = BASE | change | {"num_layers": layers}
        if small:
            config |= {"num_attention_heads": 2, "attention_head_dim": 24, "ffn_dim": 96, "text_dim": 64}
            config |= {"added_kv_proj_dim": 48} if "image_dim" in config else {}
        weights = Weights(device)
        parts = inputs(config, latents, device, per_token)
        ours = Model(owner, config, weights, torch.float32 if small else kind)
        found = read_message(ours.run(message(parts)), "velocity")
        again = read_message(ours.run(message(parts)), "velocity")
        same = bool((found == again).all())
        line = {"same again": same}
        if not small:
            away = Model(owner, config, weights, kind, all_away(config))
            runs = [read_message(away.run(message(parts)), "velocity") for _ in range(3)]
            line["the same with its matrices away"] = all(bool((run == found).all()) for run in runs)
            away.close()
        line |= regions(ours, parts, found) if not per_token and not change else {}
        ours.close()
        exact = Theirs(config, weights, torch.float32, device).prepared(parts)()
        line["ours"] = apart(found, exact)
        if small:
            good = line["ours"] < 1e-4
        else:
            line["torch"] = apart(Theirs(config, weights, kind, device).prepared(parts)(), exact)
            good = line["ours"] < ALLOWED * line["torch"]
        good = good and same and all(v for k, v in line.items() if isinstance(v, bool))
        right = right and good
        print("PASS" if good else "FAIL", name, line, flush=True)
        del weights, exact
        if device != "cpu":
            torch.cuda.empty_cache()
    return right


def all_away(config):
    """Memory that no block's matrices have room in."""
    inner = config["num_attention_heads"] * config["attention_head_dim"]
    return GpuMemory(weights=1 << 60, largest=2 * inner * config["ffn_dim"], working=0, most=1)


def regions(ours, parts, plain):
    """What regions promise: one for all changes nothing, and what a subject's text says
    stays among its tokens."""
    tokens = parts["latents"][0, 0].numel() // 4
    run = lambda more: read_message(ours.run(message(parts | more)), "velocity")
    whole = run({"members": torch.zeros(tokens, dtype=torch.int32)})
    # Columns of tokens to the right belong to the subject.
    columns = parts["latents"].shape[4] // 2
    members = (torch.arange(tokens) % columns >= columns // 2).int()
    other = random(parts["text"].shape, 7, parts["text"].device)
    one, two = (run({"members": members, "subject0": text}) for text in (parts["text"], other))
    outside = members.reshape(*parts["latents"].shape[2:3], -1, columns) == 0
    outside = outside.repeat_interleave(2, 1).repeat_interleave(2, 2)
    differs = (one != two).any(1)[0]
    return {
        "a region of all": apart(whole, plain) < 0.01,
        "outside the same": not bool((differs & outside).any()),
        "inside another": bool((differs & ~outside).any()),
    }


def profiled(work):
    """Seconds by kernel."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize()
    print(seen.key_averages().table(sort_by="cuda_time_total", row_limit=30, max_name_column_width=90))


def measure(owner, args, device):
    """Times of an evaluation at full size."""
    frames, rows, columns = map(int, args.size.split("x"))
    latents = [(frames - 1) // 4 + 1, rows // 8, columns // 8]
    config = BASE | {"num_layers": args.layers}
    if args.cpu:
        config |= {"num_attention_heads": 2, "attention_head_dim": 24, "ffn_dim": 96, "text_dim": 64}
    kind = torch.float32 if args.cpu else torch.bfloat16
    weights = Weights(device)
    begun = time.perf_counter()
    ours = Model(owner, config, weights, kind)
    loading = time.perf_counter() - begun
    parts = inputs(config, latents, device)
    request = message(parts)
    ways = {"longtake": lambda: ours.run(request)}
    if not args.cpu:
        away = Model(owner, config, weights, kind, all_away(config))
        ways["longtake, matrices away"] = lambda: away.run(request)
    theirs = Theirs(config, weights, kind, device).prepared(parts)
    backends = {} if args.cpu else {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}

    def by(backend, model):
        def once():
            with sdpa_kernel(backend) if backend else contextlib.nullcontext():
                out = model()
            if device != "cpu":
                torch.cuda.synchronize()
            return out

        return once

    for name, backend in backends.items():
        ways[f"torch, {name}"] = by(backend, theirs)
    if args.cpu:
        ways["torch"] = theirs
    if args.compiled:
        compiled = Theirs(config, weights, kind, device)
        compiled.model.compile_repeated_blocks(fullgraph=True)
        ways["torch, cudnn, compiled"] = by(SDPBackend.CUDNN_ATTENTION, compiled.prepared(parts))
    seconds = {name: [] for name in ways}
    last = {}
    for turn in range(args.rounds + 1):
        for name, way in list(ways.items()):
            begun = time.perf_counter()
            try:
                last[name] = way()
            except Exception as error:
                print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)
                del ways[name], seconds[name]
                continue
            # The first of each warms up.
            if turn:
                seconds[name].append(time.perf_counter() - begun)
    exact = next(last[name] for name in last if not name.startswith("longtake"))
    told = {
        "seconds_of_an_evaluation": {k: statistics.median(v) for k, v in seconds.items()},
        "all_seconds": seconds,
        "seconds_of_loading": loading,
        "relative_difference": apart(read_message(last["longtake"], "velocity"), exact),
        "layers": args.layers,
        "tokens": latents[0] * latents[1] * latents[2] // 4,
    }
    if args.profile:
        profiled(lambda: ours.run(request))
        profiled(ways.get("torch, cudnn", theirs))
    ours.close()
    if not args.cpu:
        away.close()
    return told


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--object")
    parser.add_argument("--size", default="81x480x832", help="frames, rows and columns")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["check", "time"])
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--cpu", action="store_true")
    args = parser.parse_args()
    device = "cpu" if args.cpu else "cuda"
    if not args.cpu:
        libraries.open_all()
    where = "../../target/transformer" if args.cpu else "carried"
    owner = Object(args.object or os.path.join(HERE, where, "liblongtake_transformer.so"))
    named = "no GPU, a trial"
    if not args.cpu:
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        named = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()[0].strip()
    import diffusers

    told = {
        "command": "benches/gpu/transformer.py " + " ".join(sys.argv[1:]),
        "date": datetime.date.today().isoformat(),
        "device": named,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }

    def write(more):
        """What is known so far: what follows may fail."""
        told.update(more, notices=told.get("notices", []) + list(owner.notices()))
        if args.json:
            with open(args.json, "w") as file:
                file.write(json.dumps(told, indent=2) + "\n")

    right = True
    if args.only != "time":
        right = check(owner, device, args.cpu)
        write({"right": right})
    if args.only != "check":
        write(measure(owner, args, device))
    print(json.dumps(told, indent=2))
    sys.exit(0 if right else 1)


main()
