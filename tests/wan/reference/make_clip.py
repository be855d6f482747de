"""Makes the fixtures of the wan engine's image encoder with the reference
implementation.

    python make_clip.py OUT_DIR [--seed N]

It writes `clip/` as `save_pretrained` does (a small CLIP vision model of the kind
that image-to-video models have, random weights that bf16 holds exactly) and
`clip/reference.safetensors`: pictures, what the image processor makes of them, and
the states that the pipeline takes.
"""


import torch
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

from arguments import parser


@torch.no_grad()
def make(out, seed):
    generator = torch.Generator().manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=20,
        intermediate_size=44,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=42,
        patch_size=7,
        hidden_act="gelu",
    )
    model = CLIPVisionModel(config).eval()
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            p.data = 1 + 0.2 * noise
        elif name.endswith("bias"):
            p.data = 0.2 * noise
        elif "embedding" in name and "patch" not in name:
            p.data = noise
        else:
            p.data = noise * p[0].numel() ** -0.5
        p.data = p.data.bfloat16().float()
    model.to(torch.bfloat16).save_pretrained(out / "clip")
    model.float()
    processor = CLIPImageProcessor(size={"shortest_edge": 42}, crop_size={"height": 42, "width": 42})
    tensors = {}
    for i, (height, width) in enumerate([(42, 42), (97, 61), (50, 131), (30, 37)]):
        y = torch.arange(height).view(-1, 1, 1)
        x = torch.arange(width).view(1, -1, 1)
        phase = torch.rand(3, generator=generator) * 6
        picture = torch.sin(0.11 * x + 0.07 * y + phase) * 100 + 128
        picture = (picture + 12 * torch.randn(picture.shape, generator=generator)).round()
        picture = picture.clamp(0, 255).to(torch.uint8)
        pixels = processor(images=picture.permute(2, 0, 1), return_tensors="pt").pixel_values
        states = model(pixel_values=pixels, output_hidden_states=True).hidden_states
        tensors[f"{i}.picture"] = picture
        tensors[f"{i}.pixels"] = pixels[0].contiguous()
        tensors[f"{i}.states"] = states[-2][0].contiguous()
        if i == 0:
            tensors["0.first"] = states[0][0].contiguous()
            tensors["0.second"] = states[1][0].contiguous()
    save_file(tensors, out / "clip" / "reference.safetensors")


def main():
    # The sizes here are odd anyway.
    args = parser(__doc__).parse_args()
    torch.use_deterministic_algorithms(True)
    make(args.folder, args.seed)


if __name__ == "__main__":
    main()
