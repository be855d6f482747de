"""Makes a whole small pipeline of the text encoder, tokenizer and VAE that the other
scripts made and a transformer of its own, and what the reference makes of a prompt.

    python make_whole.py FOLDER [--seed N] [--odd]

FOLDER/whole/ has what is new: transformer, scheduler, model_index.json, and
reference.safetensors with noise, latents and frames. Run the other scripts first.
"""

import json

import torch
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
from make_transformer import COMMON, Maker, save, unipc
from transformers import AutoTokenizer, UMT5EncoderModel

from arguments import parser

PROMPT = "a cat walks on the grass"
NEGATIVE = "blurry, bad quality"


@torch.no_grad()
def main():
    arguments = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder
    maker = Maker(folder / "whole", arguments.seed + 1, arguments.odd)
    # Stored in 16 bits; compared in 32.
    encoder = UMT5EncoderModel.from_pretrained(folder / "text" / "text_encoder").float().eval()
    vae = AutoencoderKLWan.from_pretrained(folder / "vae-2.1").eval()
    channels = vae.config.z_dim
    model = maker.fill(
        WanTransformer3DModel(
            **COMMON | dict(in_channels=channels, out_channels=channels, text_dim=encoder.config.d_model)
        )
    )
    pipeline = WanPipeline(
        tokenizer=AutoTokenizer.from_pretrained(folder / "text" / "tokenizer"),
        text_encoder=encoder,
        vae=vae,
        scheduler=unipc(3.0),
        transformer=model,
    )
    pipeline.set_progress_bar_config(disable=True)
    noise = maker.normal(1, channels, 2, 4, 6)
    call = dict(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        latents=noise,
        height=32,
        width=48,
        num_frames=5,
        num_inference_steps=10,
        guidance_scale=5.0,
    )
    kept = {
        "noise": noise,
        "latents": pipeline(**call, output_type="latent").frames,
        # [frames, channels, rows, columns], 0 to 1
        "frames": pipeline(**call, output_type="pt").frames[0],
    }
    save(maker.folder / "reference.safetensors", kept)
    model.save_pretrained(maker.folder / "transformer")
    pipeline.scheduler.save_pretrained(maker.folder / "scheduler")
    index = {"_class_name": "WanPipeline"}
    for part in ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"]:
        index[part] = ["diffusers", type(getattr(pipeline, part)).__name__]
    (maker.folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    (maker.folder / "prompts.json").write_text(json.dumps({"prompt": PROMPT, "negative": NEGATIVE}) + "\n")


if __name__ == "__main__":
    main()
