"""Makes the fixtures of the preview decoder with the published one.

    python make_preview.py OUT_DIR --taehv DIR [--seed N]

`DIR` holds `taehv.py` of github.com/madebyollin/taehv (used: commit
1f14a568f24bf8811e0a0ac601613e04fc1581e8). Without it nothing is made. The layers
and their order are the published ones, only narrower; `preview/LAYOUT.safetensors`
are the weights (random, as bf16 holds them), `LAYOUT-reference.safetensors` latents
and frames of -1 to 1.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn

from arguments import parser


@torch.no_grad()
def make(taehv, out, layout, channels, patch, seed):
    generator = torch.Generator().manual_seed(seed)
    a, b, c, d = 12, 10, 8, 6
    decoder = [taehv.Clamp(), taehv.conv(channels, a), nn.ReLU()]
    for width, to, stride in (a, b, 1), (b, c, 2), (c, d, 2):
        decoder += [taehv.MemBlock(width, width) for _ in range(3)]
        decoder += [nn.Upsample(scale_factor=2), taehv.TGrow(width, stride)]
        decoder += [taehv.conv(width, to, bias=False)]
    decoder += [nn.ReLU(), taehv.conv(d, 3 * patch**2)]
    decoder = nn.Sequential(*decoder).eval()
    for p in decoder.parameters():
        noise = torch.randn(p.shape, generator=generator)
        p.data = noise * (0.2 if p.dim() == 1 else 1.2 * p[0].numel() ** -0.5)
        p.data = p.data.bfloat16().float()
    # Mid-grey and in range for the most part, with some of it held to the range.
    decoder[-1].weight.data = (decoder[-1].weight * 0.15).bfloat16().float()
    decoder[-1].bias.data += 0.5
    decoder[-1].bias.data = decoder[-1].bias.bfloat16().float()
    latents = torch.randn(1, 3, channels, 2, 3, generator=generator) * 1.5
    frames = taehv.apply_model_with_memblocks(decoder, latents, True, False)[0]
    frames = nn.functional.pixel_shuffle(frames, patch).clamp(0, 1)[3:]
    weights = {f"decoder.{k}": v.bfloat16() for k, v in decoder.state_dict().items()}
    save_file(weights, out / f"{layout}.safetensors")
    tensors = {"latents": latents[0].transpose(0, 1), "out": frames.transpose(0, 1) * 2 - 1}
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    save_file(tensors, out / f"{layout}-reference.safetensors")


def main():
    # The sizes here are odd anyway.
    options = parser(__doc__)
    options.add_argument("--taehv", type=pathlib.Path)
    args = options.parse_args()
    if args.taehv is None:
        print("no --taehv: no preview fixtures are made")
        return
    sys.path.insert(0, str(args.taehv))
    import taehv

    out = args.folder / "preview"
    out.mkdir(parents=True, exist_ok=True)
    make(taehv, out, "2.1", 16, 1, args.seed)
    make(taehv, out, "2.2", 48, 2, args.seed + 1)


if __name__ == "__main__":
    main()
