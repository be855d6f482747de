#!/usr/bin/env python3
"""Wan 2.1's VAE, or 2.2's (--newer), on a GPU, its decoder and its encoder, by Longtake and by diffusers in torch (bf16, as it
is and channels_last_3d), the same random weights and latents, run by run in turn; how far
each is from torch in f32 at a small size, and one JSON file.

    python3 benches/gpu/vae.py [--size 81x480x832] [--rounds 4] [--engines]

Needs the program that `benches/gpu/carry.sh` lays into benches/gpu/carried (or --program),
the driver and cuDNN 9: the system's, or those that torch of PyPI brings. Longtake's seconds
begin and end in host memory, torch's on the device.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time

from libraries import search_path

HERE = os.path.dirname(os.path.abspath(__file__))


# As in transformer.py.
ALLOWED = 1.2
# Of Wan 2.2.
NEWER = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "latents_mean": [-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667],
    "latents_std": [0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744],
}


class Ours:
    """The program, told by lines what to do."""

    def __init__(self, program, libraries, newer):
        path = search_path(*libraries)
        self.process = subprocess.Popen(
            [program] + ["2.2"] * newer, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "LD_LIBRARY_PATH": path}
        )
        self.told = {}
        for line in self.lines("ready"):
            name, _, rest = line.partition(" ")
            self.told[name] = rest
            print(line, flush=True)

    def lines(self, last):
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line.split(" ")[0] == last:
                return
            yield line
        sys.exit(f"the program ended with {self.process.wait()}")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def seconds(self, line):
        self.ask(line)
        for found in self.process.stdout:
            if found.startswith("seconds "):
                return float(found.split()[1])
        sys.exit(f"the program ended with {self.process.wait()}")

    def texts(self, line):
        self.ask(line)
        return list(self.lines("told"))


def numbers(torch, name, shape, device):
    """As benches/gpu/vae.rs makes them."""
    seed = 5381
    for byte in name.encode():
        seed = (seed * 33 & 0xFFFFFFFF) ^ byte
    count = 1
    for n in shape:
        count *= n
    low = 0xFFFFFFFF
    # Factors above 2^31 as their negative counterparts: 64 bits wrap alike.
    times = lambda x, by: (x * by) & low
    x = torch.arange(count, dtype=torch.int64, device=device)
    x = (times(x, 2654435761) + seed) & low
    x = times(x ^ (x >> 15), 2246822519)
    x = times(x ^ (x >> 13), 3266489917)
    x = x ^ (x >> 16)
    return ((x >> 8).to(torch.float32) / 8388608.0 - 1.0).reshape(shape)


class Theirs:
    def __init__(self, torch, device, newer):
        from diffusers import AutoencoderKLWan

        self.torch, self.device = torch, device
        self.by = 16 if newer else 8
        with torch.device("meta"):
            vae = AutoencoderKLWan(**(NEWER if newer else {}))
        self.config = vae.config
        state = {}
        for name, value in vae.state_dict().items():
            shape = tuple(value.shape)
            drawn = numbers(torch, name, shape, device)
            if name.endswith("gamma"):
                drawn = 1 + 0.1 * drawn
            elif name.endswith("bias"):
                drawn = 0.05 * drawn
            else:
                drawn = drawn * (3 / (drawn.numel() // shape[0])) ** 0.5
            state[name] = drawn
        vae.load_state_dict(state, strict=True, assign=True)
        self.state = vae.eval()

    def model(self, kind, last):
        torch, vae = self.torch, self.state.to(kind)
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        for value in vae.parameters():
            how = formats.get(value.dim(), torch.contiguous_format) if last else torch.contiguous_format
            value.data = value.data.contiguous(memory_format=how)
        return vae

    def latents(self, size, kind, last):
        frames, rows, columns = size
        z = self.config.z_dim
        shape = (1, z, (frames - 1) // 4 + 1, rows // self.by, columns // self.by)
        drawn = 1.7 * numbers(self.torch, "latents", shape, self.device)
        spread = lambda name: self.torch.tensor(getattr(self.config, name), device=self.device).view(1, z, 1, 1, 1)
        latents = (drawn * spread("latents_std") + spread("latents_mean")).to(kind)
        return latents.to(memory_format=self.torch.channels_last_3d) if last else latents

    def video(self, size, kind, last):
        frames, rows, columns = size
        drawn = [numbers(self.torch, f"frame{i}", (rows, columns, 3), self.device) for i in range(frames)]
        video = self.torch.stack(drawn).permute(3, 0, 1, 2)[None].contiguous().to(kind)
        return video.to(memory_format=self.torch.channels_last_3d) if last else video

    def encode(self, vae, video):
        torch = self.torch
        with torch.no_grad():
            out = vae.encode(video, return_dict=False)[0].mode()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return out

    def normalised(self, latents):
        spread = lambda name: self.torch.tensor(getattr(self.config, name), device=self.device).view(1, -1, 1, 1, 1)
        return (latents.float() - spread("latents_mean")) / spread("latents_std")

    def decode(self, vae, latents):
        torch = self.torch
        with torch.no_grad():
            out = vae.decode(latents, return_dict=False)[0]
        if self.device != "cpu":
            torch.cuda.synchronize()
        return out


def apart(found, exact):
    return float((found.float() - exact).norm() / exact.norm())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=os.path.join(HERE, "carried", "gpu_vae"))
    parser.add_argument("--library", action="append", default=[], help="a folder of libraries before all others")
    parser.add_argument("--size", default="81x480x832", help="frames, rows and columns")
    parser.add_argument("--small", default="9x96x160", help="at which numbers are compared")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--newer", action="store_true", help="Wan 2.2's")
    parser.add_argument("--engines", action="store_true", help="also what each of cuDNN's engines takes")
    parser.add_argument("--patience", type=float, default=15, help="seconds of a first run, beyond which there are no more")
    parser.add_argument("--json")
    parser.add_argument("--cpu", action="store_true", help="a trial without a GPU")
    args = parser.parse_args()
    size, small = ([int(n) for n in s.split("x")] for s in (args.size, args.small))
    ours = Ours(args.program, args.library, args.newer)
    told = {
        "command": "benches/gpu/vae.py " + " ".join(sys.argv[1:]),
        "date": datetime.date.today().isoformat(),
        "device": ours.told.get("device"),
        "size": args.size,
        "longtake_does_without": ours.told.get("without"),
    }
    file = f"/tmp/longtake-vae-{os.getpid()}.raw"
    ours.seconds(f"save {args.small} {file}")
    theirs = None
    try:
        import diffusers
        import torch

        theirs = Theirs(torch, "cpu" if args.cpu else "cuda", args.newer)
        told |= {"torch": torch.__version__, "diffusers": diffusers.__version__}
        told["cudnn_of_torch"] = torch.backends.cudnn.version()
    except ImportError as error:
        print(f"beside nothing: {error}", file=sys.stderr)
    if theirs:
        with open(file, "rb") as kept:
            found = torch.frombuffer(bytearray(kept.read()), dtype=torch.float32)
        found = found.reshape(small[0], small[1], small[2], 3).permute(3, 0, 1, 2)[None].to(theirs.device)
        if not args.cpu:
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        wide = theirs.model(torch.float32, False)
        exact = theirs.decode(wide, theirs.latents(small, torch.float32, False)).clamp(-1, 1)
        told["relative_difference_to_f32"] = {"longtake": apart(found, exact)}
        ours.seconds(f"encode {args.small} {file}")
        with open(file, "rb") as kept:
            coded = torch.frombuffer(bytearray(kept.read()), dtype=torch.float32)
        coded = coded.reshape(-1, small[1] // theirs.by, small[2] // theirs.by, theirs.config.z_dim).permute(3, 0, 1, 2)[None].to(theirs.device)
        right = theirs.normalised(theirs.encode(wide, theirs.video(small, torch.float32, False)))
        told["relative_difference_to_f32"]["longtake, encoded"] = apart(coded, right)
        print(f"longtake, encoded, is {apart(coded, right):.5f} from torch in f32", flush=True)
        print(f"longtake is {apart(found, exact):.5f} from torch in f32", flush=True)
        begins = [apart(found[:, :, i], exact[:, :, i]) for i in range(small[0])]
        print("frame by frame:", " ".join(f"{v:.4f}" for v in begins), flush=True)
        plain = theirs.model(torch.bfloat16, False)
        near = theirs.decode(plain, theirs.latents(small, torch.bfloat16, False)).clamp(-1, 1)
        told["relative_difference_to_f32"]["torch"] = apart(near, exact)
        near_coded = theirs.normalised(theirs.encode(plain, theirs.video(small, torch.bfloat16, False)))
        told["relative_difference_to_f32"]["torch, encoded"] = apart(near_coded, right)
        print(f"torch in bf16, encoded, is {apart(near_coded, right):.5f} from torch in f32", flush=True)
        print(f"torch in bf16 is {apart(near, exact):.5f} from torch in f32", flush=True)
    os.remove(file)
    ways = {
        "longtake": lambda: ours.seconds(f"decode {args.size}"),
        "longtake, encoded": lambda: ours.seconds(f"encode {args.size}"),
    }

    def timed(last, tuned, encodes=False):
        def once():
            vae = theirs.model(torch.bfloat16, last)
            make, run = (theirs.video, theirs.encode) if encodes else (theirs.latents, theirs.decode)
            given = make(size, torch.bfloat16, last)
            torch.backends.cudnn.benchmark = tuned
            if not args.cpu:
                torch.cuda.synchronize()
            begun = time.perf_counter()
            run(vae, given)
            return time.perf_counter() - begun

        return once

    if theirs:
        ways["torch"] = timed(False, False)
        ways["torch channels_last_3d"] = timed(True, False)
        ways["torch channels_last_3d, cudnn.benchmark"] = timed(True, True)
        ways["torch, encoded"] = timed(False, False, True)
        ways["torch channels_last_3d, encoded"] = timed(True, False, True)
    seconds = {name: [] for name in ways}
    for turn in range(args.rounds + 1):
        for name, way in list(ways.items()):
            try:
                taken = way()
            except Exception as error:  # One way's failure leaves the others.
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                del ways[name]
                continue
            print(f"{'warms up' if turn == 0 else 'round'} {name}: {taken:.3f} s", flush=True)
            # The first of each warms up; a device is lent for minutes.
            if turn:
                seconds[name].append(taken)
            elif taken > args.patience:
                seconds[name].append(taken)
                del ways[name]
    told["seconds"] = {name: statistics.median(v) for name, v in seconds.items() if v}
    told["not_by_cudnn"] = ours.texts("refused")
    print("\n".join(told["not_by_cudnn"]), flush=True)
    if args.engines:
        told["engines"] = ours.texts("engines")
        print("\n".join(told["engines"]), flush=True)
    # Ours may be as far from f32 as torch in bf16 is, and a little more.
    far = told.get("relative_difference_to_f32", {})
    pairs = [(far[name], far[name.replace("longtake", "torch")]) for name in far if name.startswith("longtake")]
    told["right"] = all(ours < ALLOWED * torch for ours, torch in pairs)
    text = json.dumps(told, indent=2)
    print(text)
    if args.json:
        with open(args.json, "w") as to:
            to.write(text + "\n")
    sys.exit(0 if told["right"] else 1)


main()
