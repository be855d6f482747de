"""The reference's side of the bench: reads one line a task, answers one line
`cpu_seconds wall_seconds megabytes`, the last being the peak over what was held
before. Checkpoints and inputs it makes are left in the folder given, for the
other side to run the same."""

import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

folder = Path(sys.argv[1])
torch.set_num_threads(int(sys.argv[2]))
generator = torch.Generator().manual_seed(1)


def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) / 1024


def measure(run, repeats):
    if repeats > 1:
        run()
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")
    before = status("VmRSS")
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(cpu / repeats, wall / repeats, status("VmHWM") - before, flush=True)


def conv(channels, outputs, frames, height, width, cached):
    """As `WanCausalConv3d` does it."""
    weight = torch.randn(outputs, channels, 3, 3, 3, generator=generator) * 0.02
    bias = torch.randn(outputs, generator=generator)
    x = torch.randn(1, channels, frames, height, width, generator=generator)
    cache = torch.randn(1, channels, 2, height, width, generator=generator) if cached else None

    def run():
        y = torch.cat([cache, x], 2) if cached else x
        return F.conv3d(F.pad(y, (1, 1, 1, 1, 0 if cached else 2, 0)), weight, bias)

    return run


def decode(latents, height, width):
    from diffusers import AutoencoderKLWan

    with torch.device("meta"):
        model = AutoencoderKLWan()
    model.encoder = None
    model.to_empty(device="cpu")
    for p in model.parameters():
        scale = 1 if p.dim() == 1 else p[0].numel() ** -0.5
        p.data = torch.randn(p.shape, generator=generator) * scale * 0.5
    model.eval()
    z = torch.randn(1, 16, latents, height, width, generator=generator)
    mean = torch.tensor(model.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(model.config.latents_std).view(1, -1, 1, 1, 1)
    out = model.decode(z * std + mean).sample
    save_file(dict(model.state_dict()), folder / "vae.safetensors")
    save_file({"latents": z[0].contiguous(), "out": out[0].contiguous()}, folder / "vae_io.safetensors")
    return lambda: model.decode(z * std + mean).sample


def text(tokens):
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(
        vocab_size=64, d_model=4096, d_kv=64, d_ff=10240, num_layers=1, num_heads=64
    )
    with torch.device("meta"):
        model = UMT5EncoderModel(config)
    model.to_empty(device="cpu")
    # Made of nothing, the two names of the embeddings have come apart.
    model.encoder.embed_tokens.weight = model.shared.weight
    for p in model.parameters():
        scale = 1 if p.dim() == 1 else p.shape[1] ** -0.5
        p.data = (torch.randn(p.shape, generator=generator) * scale).bfloat16().float()
    model.eval()
    ids = torch.randint(0, 64, (1, tokens), generator=generator)
    out = model(ids).last_hidden_state
    weights = {k: v.bfloat16() for k, v in model.state_dict().items() if "embed_tokens" not in k}
    save_file(weights, folder / "text.safetensors")
    save_file({"ids": ids[0], "out": out[0].contiguous()}, folder / "text_io.safetensors")
    return lambda: model(ids).last_hidden_state


prepared = {}
with torch.no_grad():
    for line in sys.stdin:
        kind, repeats, *numbers = line.split()
        if line not in prepared:
            prepared.clear()
            prepared[line] = {"conv": conv, "decode": decode, "text": text}[kind](*map(int, numbers))
        measure(prepared[line], int(repeats))
