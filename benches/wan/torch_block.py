"""Runs one block of Wan 2.1 1.3B with random weights for each line of standard input
(a number of latent frames) and answers with its processor time in seconds and the
memory above what was held before, in MB."""

import sys
import time

import torch
from diffusers import WanTransformer3DModel


def memory(field):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith(field))


model = WanTransformer3DModel(num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=1).eval()
times = {}
model.blocks[0].register_forward_pre_hook(lambda *_: times.update(start=time.process_time()))
model.blocks[0].register_forward_hook(lambda *_: times.update(end=time.process_time()))
for line in sys.stdin:
    frames = int(line)
    latents = torch.randn(1, 16, frames, 60, 104)
    text = torch.randn(1, 512, 4096)
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")
    before = memory("VmRSS")
    with torch.no_grad():
        model(latents, torch.tensor([700.0]), text)
    print(times["end"] - times["start"], memory("VmHWM") - before, flush=True)
