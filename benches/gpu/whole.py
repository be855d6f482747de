#!/usr/bin/env python3
"""A whole take of Wan 2.1 1.3B by the command line on a GPU: a checkpoint of random
weights and of the published shape (a text encoder of one layer in place of 24), 50 guided
steps at 832 x 480 x 81, from prompt to EXR files; and, at a small size, how far the
latents are from the CPU's.

    python3 benches/gpu/whole.py [--steps 50] [--size 832x480] [--frames 81] [--json FILE]

Needs torch, diffusers and what `benches/gpu/carry.sh` lays into benches/gpu/carried.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from libraries import search_path
from object import BASE

HERE = Path(__file__).resolve().parent
CARRIED = HERE / "carried"
FIXTURES = HERE / "../../tests/wan/fixtures"
TRANSFORMER = BASE | {"qk_norm": "rms_norm_across_heads"}
TEXT = {"d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": 1}
TEXT |= {"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128}


def random(shapes, kind, device):
    """Weights of a size that keeps that of what goes through."""
    made = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, device=device, generator=torch.Generator(device).manual_seed(len(made)))
        if name.endswith("gamma") or ("norm" in name and name.endswith("weight")):
            values = 1 + 0.1 * values
        elif name.endswith("bias"):
            values *= 0.05
        elif "relative" not in name and "shared" not in name and values.dim() > 1:
            values *= (values.numel() / shape[0]) ** -0.5
        made[name] = values.to(kind).cpu().contiguous()
    return made


def shapes_of(family, config):
    import diffusers

    with torch.device("meta"):
        model = getattr(diffusers, family)(**{k: v for k, v in config.items() if not k.startswith("_")})
    return {k: tuple(v.shape) for k, v in model.state_dict().items()}


def text_shapes(config):
    width, inner, wide = config["d_model"], config["d_kv"] * config["num_heads"], config["d_ff"]
    shapes = {"shared.weight": (config["vocab_size"], width), "encoder.final_layer_norm.weight": (width,)}
    for i in range(config["num_layers"]):
        own, feed = (f"encoder.block.{i}.layer.{k}." for k in (0, 1))
        shapes |= {f"{own}SelfAttention.{n}.weight": (inner, width) for n in "qkv"}
        shapes[own + "SelfAttention.o.weight"] = (width, inner)
        shapes[own + "SelfAttention.relative_attention_bias.weight"] = (config["relative_attention_num_buckets"], config["num_heads"])
        shapes[own + "layer_norm.weight"] = shapes[feed + "layer_norm.weight"] = (width,)
        shapes |= {f"{feed}DenseReluDense.wi_{n}.weight": (wide, width) for n in (0, 1)}
        shapes[feed + "DenseReluDense.wo.weight"] = (width, wide)
    return shapes


def checkpoint(folder, small, device):
    """A diffusers folder."""
    for part in ("transformer", "vae", "text_encoder"):
        (folder / part).mkdir(parents=True)
    shutil.copy(FIXTURES / "whole/model_index.json", folder)
    shutil.copytree(FIXTURES / "whole/scheduler", folder / "scheduler")
    shutil.copytree(FIXTURES / "text/tokenizer", folder / "tokenizer")
    config = TRANSFORMER | ({"num_layers": 2, "num_attention_heads": 2, "ffn_dim": 256} if small else {})
    put = lambda part, config: (folder / part / "config.json").write_text(json.dumps(config))
    put("transformer", config)
    kept = "diffusion_pytorch_model.safetensors"
    save_file(random(shapes_of("WanTransformer3DModel", config), torch.bfloat16, device), folder / "transformer" / kept)
    vae = json.loads((FIXTURES / "vae-2.1/config.json").read_text()) | {"base_dim": 16 if small else 96, "num_res_blocks": 2}
    put("vae", vae)
    save_file(random(shapes_of("AutoencoderKLWan", vae), torch.float32, device), folder / "vae" / kept)
    text = json.loads((FIXTURES / "text/text_encoder/config.json").read_text()) | TEXT
    put("text_encoder", text)
    save_file(random(text_shapes(text), torch.bfloat16, device), folder / "text_encoder/model.safetensors")


def generate(model, out, device, *more, memory=None):
    """Runs the command line: seconds, exit code, seconds at which each event came.
    `memory` is what it may take of the GPU, in GiB."""
    environment = os.environ | {"LD_LIBRARY_PATH": search_path(), "LONGTAKE_TRANSFORMER": str(CARRIED / "liblongtake_transformer.so")}
    if memory:
        environment["LONGTAKE_GPU_MEMORY"] = str(memory)
    words = [
        str(CARRIED / "longtake"), "generate", "--engine", "wan", "--model", str(model), "--prompt", "steam over a river",
        "--negative-prompt", "blur", "--guidance", "5", "--device", device, "--store", f"{out}-store",
        "--out", f"{out}/f.####.exr", "--json", *more,
    ]  # fmt: skip
    begun = time.perf_counter()
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    steps, said = {}, []
    for line in run.stdout:
        at = time.perf_counter() - begun
        try:
            event = json.loads(line)
        except ValueError:
            event = {"event": "line", "text": line}
        if event.get("event") == "progress":
            steps[event.get("stage") or event.get("what") or event.get("step") or "?"] = round(at, 2)
        else:
            said.append((round(at, 2), event))
    error = run.stderr.read()
    code = run.wait()
    return {"code": code, "seconds": time.perf_counter() - begun, "until": steps, "told": [e for e in said if e[1].get("event") != "frame"][-6:], "stderr": error[-600:]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", default="50")
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--cache", default="1", help="the error that the step cache may make")
    parser.add_argument("--json")
    parser.add_argument("--cpu", action="store_true", help="a trial without a GPU, of a small model")
    args = parser.parse_args()
    device = "cpu" if args.cpu else "cuda"
    on = "cpu" if args.cpu else "gpu"
    told = {"date": datetime.date.today().isoformat(), "command": "benches/gpu/whole.py " + " ".join(sys.argv[1:])}

    def write():
        """What is known so far: what follows may fail."""
        if args.json:
            Path(args.json).write_text(json.dumps(told, indent=2) + "\n")

    folder = Path(tempfile.mkdtemp(prefix="longtake-whole-"))
    try:
        begun = time.perf_counter()
        checkpoint(folder / "model", args.cpu, device)
        if device == "cuda":
            torch.cuda.empty_cache()
        print(f"a checkpoint of random weights: {time.perf_counter() - begun:.1f} s", flush=True)
        whole = generate(folder / "model", folder / "whole", on, "--size", args.size, "--frames", f"1-{args.frames}", "--steps", args.steps)
        whole["files"] = len(list((folder / "whole").glob("*.exr")))
        told["whole"] = whole | {"steps": args.steps, "size": args.size, "frames": args.frames}
        print(json.dumps(told["whole"]), flush=True)
        write()
        # Of random weights the step cache says nothing but what it spares in time, so that
        # it is to leave out as much as it may.
        cached = generate(folder / "model", folder / "cached", on, "--size", args.size, "--frames", f"1-{args.frames}", "--steps", args.steps, "--cache", args.cache)
        cached["files"] = len(list((folder / "cached").glob("*.exr")))
        told["with a step cache"] = cached | {"cache": args.cache}
        print(json.dumps(told["with a step cache"]), flush=True)
        write()
        small = ["--size", "96x64", "--frames", "1-9", "--steps", "2"]
        told["small"] = {}
        latents = {}
        for name in ("cpu", on + " "):
            kept = folder / f"{name.strip()}-small.safetensors"
            told["small"][name] = generate(folder / "model", folder / f"small-{name.strip()}", name.strip(), *small, "--save-latents", str(kept))
            print(name, json.dumps(told["small"][name]), flush=True)
            latents[name] = load_file(kept)["latents"] if kept.exists() else None
        if all(v is not None for v in latents.values()):
            one, other = latents.values()
            told["small"]["apart"] = float((one - other).norm() / one.norm())
            told["small"]["finite"] = bool(other.isfinite().all())
            print("latents apart:", told["small"]["apart"], flush=True)
        if not args.cpu:
            kept = folder / "part-small.safetensors"
            part = generate(folder / "model", folder / "part", on, *small, "--save-latents", str(kept), memory=1.5)
            other = latents[on + " "]
            same = kept.exists() and other is not None and bool((load_file(kept)["latents"] == other).all())
            told["small"]["with a part of the model away"] = part | {"the same": same}
            print("with a part of the model away, the same:", same, json.dumps(part["told"]), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    right = all(take["code"] == 0 and take["files"] == args.frames for take in (whole, cached)) and told["small"].get("apart", 1) < 0.05
    right = right and (args.cpu or same)
    told["right"] = right
    print("PASS" if right else "FAIL", "a whole take")
    write()
    sys.exit(0 if right else 1)


main()
