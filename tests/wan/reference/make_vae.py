"""Makes the fixtures of the wan engine's VAE with the reference implementation.

    python make_vae.py OUT_DIR [--seed N]

For each layout it writes a checkpoint as `save_pretrained` does, small, with
random weights that bf16 holds exactly, and `reference.safetensors` beside it:
inputs, outputs and what single blocks make of their inputs, all f32, without the
batch. `--seed` moves weights, inputs and sizes, for a comparison that nothing can
have been tuned to.
"""

import json
import random

import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file

from arguments import parser

LAYOUTS = {
    # 8 x 8 x 4, 16 channels.
    "vae-2.1": dict(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    ),
    # 16 x 16 x 4, 48 channels: residual blocks with shortcuts, pictures in 2 x 2
    # patches, a decoder of its own width.
    "vae-2.2": dict(
        base_dim=2,
        decoder_base_dim=4,
        z_dim=48,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    ),
}


def randomise(model, generator):
    """Every parameter away from its neutral start, so that none goes untested."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if name.endswith("gamma"):
            p.data = 1 + 0.2 * noise
        elif name.endswith("bias"):
            p.data = 0.1 * noise
        else:
            fan_in = p[0].numel()
            p.data = noise * fan_in**-0.5
        p.data = p.data.bfloat16().float()


def video(generator, frames, height, width):
    """Smooth motion and some noise, in -1 to 1, as bytes hold it."""
    t = torch.arange(frames).view(1, -1, 1, 1)
    y = torch.arange(height).view(1, 1, -1, 1)
    x = torch.arange(width).view(1, 1, 1, -1)
    phase = torch.rand(3, 1, 1, 1, generator=generator) * 6
    v = torch.sin(0.3 * x + 0.2 * y + 0.5 * t + phase) * 90 + 128
    v = v + 25 * torch.randn(v.shape, generator=generator)
    return (v.round().clamp(0, 255) / 127.5 - 1).contiguous()


def record(model, names, run):
    """What the named blocks take and give over all chunks of `run`."""
    seen, hooks = {}, []
    modules = dict(model.named_modules())
    for name in names:

        def hook(_module, args, out, name=name):
            seen.setdefault(name + ".in", []).append(args[0])
            seen.setdefault(name + ".out", []).append(out)

        hooks.append(modules[name].register_forward_hook(hook))
    run()
    for h in hooks:
        h.remove()
    return {f"block.{k}": torch.cat(v, 2)[0].contiguous() for k, v in seen.items()}


@torch.no_grad()
def make(name, out, seed):
    generator = torch.Generator().manual_seed(seed)
    config = dict(LAYOUTS[name])
    z = config["z_dim"]
    config["latents_mean"] = [round(v, 4) for v in torch.randn(z, generator=generator).tolist()]
    config["latents_std"] = [round(v, 4) for v in (1 + torch.rand(z, generator=generator)).tolist()]
    model = AutoencoderKLWan(**config).eval()
    randomise(model, generator)
    folder = out / name
    model.to(torch.bfloat16).save_pretrained(folder)
    model.float()
    patch = config.get("patch_size") or 1
    step = model.config.scale_factor_spatial

    mean = torch.tensor(config["latents_mean"]).view(-1, 1, 1, 1)
    std = torch.tensor(config["latents_std"]).view(-1, 1, 1, 1)
    dice = random.Random(seed)
    tensors = {}
    for frames in (1, 5, 9, 17):
        # 2.1 takes any size; 2.2 needs whole cells, or its shortcuts do not fit.
        h, w = dice.choice([(1, 2), (2, 1)]) if frames > 9 else dice.choice([(1, 3), (3, 2), (2, 3)])
        height, width = h * step, w * step
        if patch == 1 and frames in (5, 9):
            height, width = height + dice.randrange(1, 7), width + dice.randrange(1, 7)
        x = video(generator, frames, height, width)
        moments = model.encode(x[None]).latent_dist
        tensors[f"encode.{frames}.in"] = ((x + 1) * 127.5).round().to(torch.uint8)
        tensors[f"encode.{frames}.moments"] = moments.parameters[0].contiguous()
        tensors[f"encode.{frames}.latents"] = ((moments.mode()[0] - mean) / std).contiguous()
        # As the pipeline decodes: latents of about unit spread.
        latents = torch.randn(z, 1 + (frames - 1) // 4, h, w, generator=generator)
        tensors[f"decode.{frames}.latents"] = latents
        tensors[f"decode.{frames}.out"] = model.decode((latents * std + mean)[None]).sample[0]

    if config.get("is_residual"):
        down, up = ["down_blocks.0", "down_blocks.1"], ["up_blocks.0", "up_blocks.2"]
    else:
        # A residual block with a shortcut, and each way to shrink and to grow.
        down = ["down_blocks.0", "down_blocks.1", "down_blocks.2", "down_blocks.3"]
        up = ["up_blocks.0", "up_blocks.2"]
    names = ["encoder." + n for n in down + ["mid_block"]]
    x = video(generator, 5, step * 2, step)
    tensors |= record(model, names, lambda: model.encode(x[None]))
    names = ["decoder." + n for n in ["mid_block"] + up]
    latents = torch.randn(1, z, 3, 1, 2, generator=generator)
    tensors |= record(model, names, lambda: model.decode(latents))
    save_file(tensors, folder / "reference.safetensors")


def original_keys(out):
    """The names of the published single file, as the reference's map takes them."""
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    block = [
        f"residual.{part}"
        for part in "0.gamma 2.weight 2.bias 3.gamma 6.weight 6.bias".split()
    ]
    conv = ["weight", "bias"]
    names = [f"conv{i}.{c}" for i in (1, 2) for c in conv]
    for side, steps in ("encoder", "downsamples"), ("decoder", "upsamples"):
        names += [f"{side}.conv1.{c}" for c in conv]
        names += [f"{side}.head.0.gamma"] + [f"{side}.head.2.{c}" for c in conv]
        names += [f"{side}.middle.{i}.{b}" for i in (0, 2) for b in block]
        names += [f"{side}.middle.1.norm.gamma"]
        names += [f"{side}.middle.1.{p}.{c}" for p in ("to_qkv", "proj") for c in conv]
        per_level = 2 if side == "encoder" else 3
        index = 0
        for level in range(4):
            for i in range(per_level):
                names += [f"{side}.{steps}.{index}.{b}" for b in block]
                # Where the number of channels changes.
                if i == 0 and level in ((1, 2) if side == "encoder" else (1,)):
                    names += [f"{side}.{steps}.{index}.shortcut.{c}" for c in conv]
                index += 1
            if level < 3:
                names += [f"{side}.{steps}.{index}.resample.1.{c}" for c in conv]
                if level in ((1, 2) if side == "encoder" else (0, 1)):
                    names += [f"{side}.{steps}.{index}.time_conv.{c}" for c in conv]
                index += 1
    keys = convert_wan_vae_to_diffusers({name: name for name in names})
    with torch.device("meta"):
        model = AutoencoderKLWan()
    assert set(keys) == set(model.state_dict()), set(keys) ^ set(model.state_dict())
    text = json.dumps(dict(sorted(keys.items())), indent=1)
    (out / "vae_original_keys.json").write_text(text + "\n")


def main():
    # The sizes here are odd anyway.
    args = parser(__doc__).parse_args()
    torch.use_deterministic_algorithms(True)
    for name in LAYOUTS:
        make(name, args.folder, args.seed)
    original_keys(args.folder)


if __name__ == "__main__":
    main()
