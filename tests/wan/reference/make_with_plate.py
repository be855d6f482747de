"""Makes small whole pipelines that begin with a plate, of the parts that the other
scripts made and transformers of their own, and what the reference makes with them.

    python make_with_plate.py FOLDER [--seed N] [--odd]

FOLDER/with_plate/NAME/ has what is new for each: a transformer's configuration and
weights, model_index.json, and reference.safetensors with noise and latents.
FOLDER/with_plate/plate.safetensors has the plate, the guide, the matte and the
reference picture, 8 bits a sample. Run the other scripts first.
"""

import json

import PIL.Image
import torch
from diffusers import (
    AutoencoderKLWan,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
    WanVideoToVideoPipeline,
)
from diffusers.pipelines.wan import pipeline_wan_video2video
from make_transformer import COMMON, Maker, save, unipc
from safetensors.torch import save_file
from transformers import AutoTokenizer, CLIPVisionModel, UMT5EncoderModel

from arguments import parser

PROMPT = "a cat walks on the grass"
NEGATIVE = "blurry, bad quality"
STEPS = 10
# The middle of the range: what lies there is hidden from the model.
GREY = 0.5


def moving(generator, frames, height, width):
    """A smooth pattern that moves, [frames, 3, height, width], 8 bits."""
    t = torch.arange(frames).view(-1, 1, 1, 1)
    y = torch.arange(height).view(1, 1, -1, 1)
    x = torch.arange(width).view(1, 1, 1, -1)
    phase, speed, slope = (torch.rand(3, generator=generator).view(1, 3, 1, 1) for _ in range(3))
    wave = torch.sin(0.2 * x + (0.1 + 0.2 * slope) * y + 6 * phase + (speed - 0.3) * t)
    return (128 + 70 * wave).round().to(torch.uint8)


def looked_at(picture, size):
    """As CLIP's image processor, without rounding to 8 bits in between."""
    height, width = picture.shape[-2:]
    short = min(height, width)
    tall, wide = size * height // short, size * width // short
    small = torch.nn.functional.interpolate(
        picture[None], size=(tall, wide), mode="bicubic", antialias=True, align_corners=False
    )
    top, left = (tall - size) // 2, (wide - size) // 2
    small = small[..., top : top + size, left : left + size]
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    return (small - mean) / std


class Shop:
    """The parts, and what every pipeline is called with."""

    def __init__(self, folder, seed, odd):
        self.folder = folder
        self.maker = Maker(folder / "with_plate", seed + 2, odd)
        # Stored in 16 bits; compared in 32.
        self.text = dict(
            tokenizer=AutoTokenizer.from_pretrained(folder / "text" / "tokenizer"),
            text_encoder=UMT5EncoderModel.from_pretrained(folder / "text" / "text_encoder").float().eval(),
        )
        self.frames = 13 if odd else 9
        self.width, self.height = (32, 64) if odd else (64, 32)
        g = self.maker.generator
        frames, height, width = self.frames, self.height, self.width
        self.plate = moving(g, frames, height, width)
        self.guide = moving(g, frames, height, width)
        # Of whole eights: others the reference implementation first bends to them.
        self.reference = moving(g, 1, 24, 16)[0]
        matte = torch.zeros(frames, 1, height, width, dtype=torch.uint8)
        for t in range(frames):
            matte[t, :, 7:21, 9 + t : 22 + t] = 255
        self.matte = matte
        parts = dict(plate=self.plate, guide=self.guide, matte=matte, reference=self.reference[None])
        self.maker.folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in parts.items()}, str(self.maker.folder / "plate.safetensors"))

    def vae(self, version):
        return AutoencoderKLWan.from_pretrained(self.folder / f"vae-{version}").eval()

    def model(self, kind, vae, **more):
        z = vae.config.z_dim
        width = self.text["text_encoder"].config.d_model
        common = COMMON | dict(in_channels=z, out_channels=z, text_dim=width, num_layers=1)
        return self.maker.fill(kind(**common | more))

    def noise(self, vae, references=0):
        by = vae.config.scale_factor_spatial
        frames = (self.frames - 1) // 4 + 1 + references
        return self.maker.normal(1, vae.config.z_dim, frames, self.height // by, self.width // by)

    def run(self, name, pipeline, noise, **call):
        pipeline.set_progress_bar_config(disable=True)
        size = dict(height=self.height, width=self.width)
        frames = {} if isinstance(pipeline, WanVideoToVideoPipeline) else dict(num_frames=self.frames)
        common = dict(
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            num_inference_steps=STEPS,
            guidance_scale=5.0,
            output_type="latent",
        )
        latents = pipeline(**common | size | frames | dict(latents=noise) | call).frames
        kept = {"noise": noise, "latents": latents}
        save(self.maker.folder / name / "reference.safetensors", kept)
        return kept

    def keep(self, name, pipeline, own=True, **more):
        """What the folder has of its own."""
        folder = self.maker.folder / name
        if own:
            pipeline.transformer.save_pretrained(folder / "transformer")
        pipeline.scheduler.save_pretrained(folder / "scheduler")
        index = {"_class_name": type(pipeline).__name__} | more
        parts = ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"]
        if getattr(pipeline, "image_encoder", None) is not None:
            parts.append("image_encoder")
        for part in parts:
            index[part] = ["diffusers", type(getattr(pipeline, part)).__name__]
        (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def unit(pictures):
    return pictures.float() / 255


@torch.no_grad()
def image_to_video(shop, name, last, clip):
    vae = shop.vae("2.1")
    z = vae.config.z_dim
    more = dict(in_channels=2 * z + 4)
    encoder = None
    if clip:
        encoder = CLIPVisionModel.from_pretrained(shop.folder / "clip").float().eval()
        width = encoder.config.hidden_size
        more |= dict(image_dim=width, added_kv_proj_dim=32)
        if last:
            tokens = (encoder.config.image_size // encoder.config.patch_size) ** 2 + 1
            more |= dict(pos_embed_seq_len=2 * tokens)
    model = shop.model(WanTransformer3DModel, vae, **more)
    pipeline = WanImageToVideoPipeline(
        **shop.text,
        vae=vae,
        scheduler=unipc(3.0),
        image_processor=None,
        image_encoder=encoder,
        transformer=model,
    )

    def states(pictures, _device):
        pictures = pictures if isinstance(pictures, list) else [pictures]
        size = encoder.config.image_size
        pixels = torch.cat([looked_at(p[0], size) for p in pictures])
        return encoder(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]

    pipeline.encode_image = states
    call = dict(image=unit(shop.plate[:1]))
    if last:
        call["last_image"] = unit(shop.plate[-1:])
    shop.run(name, pipeline, shop.noise(vae), **call)
    shop.keep(name, pipeline)


@torch.no_grad()
def tokens(shop):
    vae = shop.vae("2.2")
    pipeline = WanImageToVideoPipeline(
        **shop.text,
        vae=vae,
        scheduler=unipc(5.0),
        image_processor=None,
        image_encoder=None,
        transformer=shop.model(WanTransformer3DModel, vae),
        expand_timesteps=True,
    )
    shop.run("ti2v", pipeline, shop.noise(vae), image=unit(shop.plate[:1]))
    shop.keep("ti2v", pipeline, expand_timesteps=True)


@torch.no_grad()
def vace(shop):
    vae = shop.vae("2.1")
    z = vae.config.z_dim
    model = shop.model(
        WanVACETransformer3DModel, vae, num_layers=2, vace_layers=[0, 1], vace_in_channels=2 * z + 64
    )
    pipeline = WanVACEPipeline(**shop.text, vae=vae, scheduler=unipc(3.0), transformer=model)
    plate, guide, matte = unit(shop.plate), unit(shop.guide), unit(shop.matte)

    def masks(there):
        return there.expand(-1, 3, -1, -1)

    everywhere = torch.ones_like(matte)
    hidden = torch.full_like(plate, GREY)
    after = everywhere.clone()
    after[:5] = 0
    ends = everywhere.clone()
    ends[0] = ends[-1] = 0
    picture = PIL.Image.fromarray(shop.reference.permute(1, 2, 0).numpy())
    cases = {
        "fill": (torch.where(matte > 0, hidden, plate), matte, {}),
        "fill_reference": (
            torch.where(matte > 0, hidden, plate),
            matte,
            dict(reference_images=[picture], conditioning_scale=0.8),
        ),
        "match": (guide, everywhere, {}),
        "extend": (torch.where(after > 0, hidden, plate), after, {}),
        "between": (torch.where(ends > 0, hidden, plate), ends, {}),
    }
    kept = {}
    for name, (video, mask, more) in cases.items():
        noise = shop.noise(vae, len(more.get("reference_images", [])))
        made = shop.run("vace", pipeline, noise, video=video[None], mask=masks(mask)[None], **more)
        references = len(more.get("reference_images", []))
        kept |= {f"{name}.noise": noise, f"{name}.latents": made["latents"][:, :, references:]}
    save(shop.maker.folder / "vace" / "reference.safetensors", kept)
    shop.keep("vace", pipeline)


@torch.no_grad()
def restyle(shop):
    vae = shop.vae("2.1")
    model = WanTransformer3DModel.from_pretrained(shop.folder / "whole" / "transformer").eval()
    pipeline = WanVideoToVideoPipeline(**shop.text, vae=vae, scheduler=unipc(3.0), transformer=model)
    noise = shop.noise(vae)
    # Given latents it takes as they are; it is to make its own of plate and noise.
    pipeline_wan_video2video.randn_tensor = lambda *_a, **_k: noise
    shop.run("restyle", pipeline, noise, latents=None, video=unit(shop.plate)[None], strength=0.6)
    text = WanPipeline(**shop.text, vae=vae, scheduler=unipc(3.0), transformer=model)
    shop.keep("restyle", text, own=False)


def main():
    arguments = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    shop = Shop(arguments.folder, arguments.seed, arguments.odd)
    image_to_video(shop, "animate", last=False, clip=True)
    image_to_video(shop, "between", last=True, clip=True)
    image_to_video(shop, "a14b_between", last=True, clip=False)
    tokens(shop)
    vace(shop)
    restyle(shop)


if __name__ == "__main__":
    main()
