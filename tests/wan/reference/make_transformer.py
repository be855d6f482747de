"""Makes small random Wan transformers of every variant, and what the reference
implementation (diffusers) computes with them.

    python make_transformer.py FOLDER [--seed N] [--odd]

For each variant FOLDER/VARIANT/ is a diffusers checkpoint folder without VAE and
text encoder, and FOLDER/VARIANT/reference.safetensors holds the inputs, the
intermediate results and the outputs. FOLDER/schedulers.safetensors holds what the
schedulers do step by step, FOLDER/original_keys.json the names that the published
single files use, FOLDER/t2v_q8_0.gguf and t2v_iq4_nl.gguf the first variant as GGUF files,
FOLDER/lora/ changes to it in several layouts.
"""

import json
import math

import gguf
import numpy as np
import PIL.Image
import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
)
from diffusers.loaders.lora_conversion_utils import (
    _convert_musubi_wan_lora_to_diffusers,
    _convert_non_diffusers_wan_lora_to_diffusers,
)
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors.torch import save_file

from arguments import parser

Z = 4  # latent channels
TEXT = 16  # width of a text embedding
TEXT_LENGTH = 512  # what pipelines pad the text to
COMMON = dict(
    patch_size=(1, 2, 2),
    num_attention_heads=2,
    attention_head_dim=16,
    in_channels=Z,
    out_channels=Z,
    text_dim=TEXT,
    freq_dim=24,
    ffn_dim=48,
    num_layers=2,
    rope_max_seq_len=64,
)
STEPS = 10


class Maker:
    """One seed, one set of sizes."""

    def __init__(self, folder, seed, odd):
        self.folder = folder
        self.generator = torch.Generator().manual_seed(seed)
        # Latent frames, rows, columns: all different, so that none is taken for another.
        self.size = (4, 10, 6) if odd else (3, 6, 8)
        self.text_length = 11 if odd else 7

    def normal(self, *shape, scale=1.0):
        return torch.randn(*shape, generator=self.generator) * scale

    def fill(self, model):
        """Random weights under which every part has a say: initialisation leaves
        biases, gates and some projections at or near nothing."""
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "norm" in name and name.endswith("weight"):
                    p.copy_(1 + self.normal(*p.shape, scale=0.3))
                elif p.ndim == 1:
                    p.copy_(self.normal(*p.shape, scale=0.2))
                elif "scale_shift_table" in name or "pos_embed" in name:
                    p.copy_(self.normal(*p.shape, scale=0.5))
                else:
                    p.copy_(self.normal(*p.shape, scale=1 / math.sqrt(p[0].numel())))
        return model.eval()

    def vae(self):
        """Small; only what it makes of the pictures is kept, its parity is another
        script's business."""
        return self.fill(
            AutoencoderKLWan(
                base_dim=4,
                z_dim=Z,
                dim_mult=[1, 1, 1, 1],
                num_res_blocks=1,
                latents_mean=[0.1] * Z,
                latents_std=[1.3] * Z,
            )
        )

    def pictures(self, *shape):
        """Of the size that the latents stand for, in 0..1."""
        return torch.rand(*shape, self.size[1] * 8, self.size[2] * 8, generator=self.generator)

    def call(self):
        """What every pipeline is called with."""
        return dict(
            height=self.size[1] * 8,
            width=self.size[2] * 8,
            num_frames=(self.size[0] - 1) * 4 + 1,
            num_inference_steps=STEPS,
            output_type="latent",
        )

    def inputs(self):
        """Noise and text of a pipeline's run. The texts are long, so that they are not
        lost among the zeros behind them."""
        length = 8 * self.text_length
        return {"noise": self.latents(), "prompt": self.text(length), "negative": self.text(length - 20)}

    def text(self, length=None):
        return self.normal(1, length or self.text_length, TEXT)

    def latents(self, channels=Z):
        return self.normal(1, channels, *self.size)


def pad(text):
    """As pipelines do: zeros behind the tokens of the prompt."""
    return torch.cat([text, text.new_zeros(1, TEXT_LENGTH - text.shape[1], TEXT)], dim=1)


def watch(model, kept):
    """Keeps what the parts of `model` give."""

    def keep(name, pick=lambda o: o):
        def hook(_module, _inputs, output):
            kept[name] = pick(output).detach().clone()

        return hook

    hooks = [
        model.patch_embedding.register_forward_hook(keep("patch", lambda o: o.flatten(2).transpose(1, 2))),
        model.condition_embedder.time_embedder.register_forward_hook(keep("time")),
        model.condition_embedder.time_proj.register_forward_hook(keep("time_projection")),
        model.condition_embedder.text_embedder.register_forward_hook(keep("text")),
    ]
    if model.condition_embedder.image_embedder is not None:
        hooks.append(model.condition_embedder.image_embedder.register_forward_hook(keep("image")))
    for i, block in enumerate(model.blocks):
        hooks.append(block.register_forward_hook(keep(f"block.{i}")))
    for i, block in enumerate(getattr(model, "vace_blocks", [])):
        hooks.append(block.register_forward_hook(keep(f"hint.{i}", lambda o: o[0])))
    return hooks


@torch.no_grad()
def run(model, **inputs):
    """The inputs by name, what the parts give, and the output."""
    kept = {}
    hooks = watch(model, kept)
    output = model(**inputs, return_dict=False)[0]
    for h in hooks:
        h.remove()
    kept["output"] = output
    return kept


def save(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().contiguous().float() for k, v in tensors.items()}, str(path))


def unipc(shift):
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift
    )


def saved(pipeline, folder):
    """The folder as `save_pretrained` writes it, without the parts that are not there."""
    pipeline.save_pretrained(str(folder))


@torch.no_grad()
def text_to_video(maker, name, pipeline, **call):
    """A pipeline's ten steps from given noise and given text embeddings."""
    kept = maker.inputs()
    kept["latents"] = sampled(pipeline, kept, **maker.call(), **call)
    save(maker.folder / name / "pipeline.safetensors", kept)


def sampled(pipeline, kept, **call):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        prompt_embeds=pad(kept["prompt"]),
        negative_prompt_embeds=pad(kept["negative"]),
        latents=kept["noise"],
        **call,
    ).frames


def t2v(maker):
    """Wan 2.1 text to video: 1.3B, 14B."""
    model = maker.fill(WanTransformer3DModel(**COMMON))
    kept = {"latents": maker.latents(), "prompt": maker.text(), "timestep": torch.tensor([737.0])}
    kept |= run(
        model, hidden_states=kept["latents"], timestep=kept["timestep"], encoder_hidden_states=kept["prompt"]
    )
    pipeline = WanPipeline(
        tokenizer=None, text_encoder=None, vae=None, scheduler=unipc(3.0), transformer=model
    )
    saved(pipeline, maker.folder / "t2v")
    save(maker.folder / "t2v" / "reference.safetensors", kept)
    text_to_video(maker, "t2v", pipeline, guidance_scale=5.0)
    return model


def keep_condition(pipeline, kept):
    """Keeps what `pipeline` makes of its pictures."""
    prepare = pipeline.prepare_latents

    def keep(*a, **k):
        made = prepare(*a, **k)
        kept["condition"] = made[1]
        if len(made) > 2:
            kept["free"] = made[2]
        return made

    pipeline.prepare_latents = keep


def image_to_video(maker, model, **more):
    return WanImageToVideoPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=maker.vae(),
        scheduler=unipc(5.0),
        image_processor=None,
        image_encoder=None,
        transformer=model,
        **more,
    )


@torch.no_grad()
def i2v(maker):
    """Wan 2.1 image to video with the first and the last frame's CLIP embeddings."""
    image_tokens = 5
    model = maker.fill(
        WanTransformer3DModel(
            **COMMON | dict(in_channels=2 * Z + 4, image_dim=20, added_kv_proj_dim=32, pos_embed_seq_len=2 * image_tokens)
        )
    )
    # The second of the reference's two ways in: one row a picture.
    image = maker.normal(2, image_tokens, 20)
    kept = {
        "latents": maker.latents(2 * Z + 4),
        "prompt": maker.text(),
        "clip": image,
        "timestep": torch.tensor([412.0]),
    }
    kept |= run(
        model,
        hidden_states=kept["latents"],
        timestep=kept["timestep"],
        encoder_hidden_states=pad(kept["prompt"]),
        encoder_hidden_states_image=image,
    )
    kept["text"] = kept["text"][:, : maker.text_length + 1]
    pipeline = image_to_video(maker, model)
    ten = maker.inputs() | {"clip": image}
    keep_condition(pipeline, ten)
    pipeline.encode_image = lambda _pictures, _device: image
    ten["latents"] = sampled(
        pipeline,
        ten,
        image=maker.pictures(1, 3),
        last_image=maker.pictures(1, 3),
        guidance_scale=3.5,
        **maker.call(),
    )
    pipeline.vae = None
    saved(pipeline, maker.folder / "i2v")
    save(maker.folder / "i2v" / "reference.safetensors", kept)
    save(maker.folder / "i2v" / "pipeline.safetensors", ten)
    return model


def to_pil(picture):
    return PIL.Image.fromarray((picture.permute(1, 2, 0) * 255).byte().numpy())


@torch.no_grad()
def vace(maker):
    """VACE: a control branch over some of the layers."""
    channels = 2 * Z + 64
    model = maker.fill(
        WanVACETransformer3DModel(**COMMON | dict(num_layers=4), vace_layers=[0, 2], vace_in_channels=channels)
    )
    kept = {
        "latents": maker.latents(),
        "prompt": maker.text(),
        "control": maker.latents(channels),
        "scales": torch.tensor([1.0, 0.6]),
        "timestep": torch.tensor([251.0]),
    }
    kept |= run(
        model,
        hidden_states=kept["latents"],
        timestep=kept["timestep"],
        encoder_hidden_states=kept["prompt"],
        control_hidden_states=kept["control"],
        control_hidden_states_scale=kept["scales"],
    )
    folder = maker.folder / "vace"
    pipeline = WanVACEPipeline(
        tokenizer=None, text_encoder=None, vae=maker.vae(), scheduler=unipc(3.0), transformer=model
    )
    ten = maker.inputs()
    # A reference picture stands before the first frame.
    ten["noise"] = torch.cat([maker.latents()[:, :, :1], ten["noise"]], dim=2)
    hook = model.vace_patch_embedding.register_forward_pre_hook(lambda _m, a: ten.update(control=a[0].clone()))
    call = maker.call()
    frames = call["num_frames"]
    ten["latents"] = sampled(
        pipeline,
        ten,
        video=maker.pictures(1, frames, 3),
        mask=(maker.pictures(1, frames, 1) > 0.5).float().expand(-1, -1, 3, -1, -1),
        reference_images=[to_pil(maker.pictures(3))],
        conditioning_scale=[1.0, 0.7],
        guidance_scale=5.0,
        **call,
    )
    hook.remove()
    ten["scales"] = torch.tensor([1.0, 0.7])
    pipeline.vae = None
    saved(pipeline, folder)
    save(folder / "pipeline.safetensors", ten)
    save(folder / "reference.safetensors", kept)
    return model


def ti2v(maker):
    """Wan 2.2 TI2V-5B: a timestep for each token."""
    model = maker.fill(WanTransformer3DModel(**COMMON | dict(num_layers=2)))
    frames, height, width = maker.size
    # The first latent frame is given, so it has no noise.
    steps = torch.full((frames, height // 2, width // 2), 688.0)
    steps[0] = 0
    kept = {"latents": maker.latents(), "prompt": maker.text(), "timestep": steps.flatten()[None]}
    kept |= run(
        model, hidden_states=kept["latents"], timestep=kept["timestep"], encoder_hidden_states=kept["prompt"]
    )
    # Once for each token is much the same thing many times.
    for name in ["time", "time_projection"]:
        del kept[name]
    pipeline = WanPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=None,
        scheduler=unipc(5.0),
        transformer=model,
        expand_timesteps=True,
    )
    saved(pipeline, maker.folder / "ti2v")
    save(maker.folder / "ti2v" / "reference.safetensors", kept)
    text_to_video(maker, "ti2v", pipeline, guidance_scale=5.0)
    # From a first frame: its tokens are at time 0.
    pipeline = image_to_video(maker, model, expand_timesteps=True)
    kept = maker.inputs()
    keep_condition(pipeline, kept)
    kept["latents"] = sampled(pipeline, kept, image=maker.pictures(1, 3), guidance_scale=5.0, **maker.call())
    save(maker.folder / "ti2v" / "from_image.safetensors", kept)
    return model


def a14b(maker):
    """Wan 2.2 A14B: two experts, the first for high noise."""
    experts = [maker.fill(WanTransformer3DModel(**COMMON | dict(num_layers=1))) for _ in range(2)]
    pipeline = WanPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=None,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
        transformer=experts[0],
        transformer_2=experts[1],
        boundary_ratio=0.875,
    )
    saved(pipeline, maker.folder / "a14b")
    text_to_video(maker, "a14b", pipeline, guidance_scale=4.0, guidance_scale_2=3.0)


def schedulers(maker):
    """What the schedulers do with a velocity that depends on sample and time."""
    cases = {
        "unipc": unipc(3.0),
        "unipc_bh1_order3": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0, solver_order=3, solver_type="bh1"
        ),
        "unipc_no_shift": unipc(1.0),
        "euler": FlowMatchEulerDiscreteScheduler(shift=8.0),
        "euler_no_shift": FlowMatchEulerDiscreteScheduler(),
    }
    target = maker.normal(1, Z, 2, 3, 5)
    tensors = {"target": target}
    folder = maker.folder / "schedulers"
    folder.mkdir(parents=True, exist_ok=True)
    for name, scheduler in cases.items():
        (folder / f"{name}.json").write_text(scheduler.to_json_string())
        for steps in [1, 4, 20]:
            scheduler.set_timesteps(steps)
            scheduler.set_begin_index(0)
            sample = maker.normal(1, Z, 2, 3, 5)
            key = f"{name}.{steps}"
            samples = [sample]
            for t in scheduler.timesteps:
                # Bent on purpose: on a straight path all solvers agree.
                velocity = torch.tanh(sample - target) + 0.3 * torch.cos(t / 100 + sample)
                sample = scheduler.step(velocity, t, sample, return_dict=False)[0]
                samples.append(sample)
            tensors[f"{key}.sigmas"] = scheduler.sigmas
            tensors[f"{key}.timesteps"] = scheduler.timesteps
            tensors[f"{key}.samples"] = torch.stack(samples)
    save(folder / "reference.safetensors", tensors)


ORIGINAL = [
    ("condition_embedder.time_embedder.linear_1.", "time_embedding.0."),
    ("condition_embedder.time_embedder.linear_2.", "time_embedding.2."),
    ("condition_embedder.text_embedder.linear_1.", "text_embedding.0."),
    ("condition_embedder.text_embedder.linear_2.", "text_embedding.2."),
    ("condition_embedder.time_proj.", "time_projection.1."),
    ("condition_embedder.image_embedder.norm1.", "img_emb.proj.0."),
    ("condition_embedder.image_embedder.ff.net.0.proj.", "img_emb.proj.1."),
    ("condition_embedder.image_embedder.ff.net.2.", "img_emb.proj.3."),
    ("condition_embedder.image_embedder.norm2.", "img_emb.proj.4."),
    ("condition_embedder.image_embedder.pos_embed", "img_emb.emb_pos"),
    (".attn1.", ".self_attn."),
    (".attn2.", ".cross_attn."),
    (".to_out.0.", ".o."),
    (".to_q.", ".q."),
    (".to_k.", ".k."),
    (".to_v.", ".v."),
    (".add_k_proj.", ".k_img."),
    (".add_v_proj.", ".v_img."),
    (".norm_added_k.", ".norm_k_img."),
    (".ffn.net.0.proj.", ".ffn.0."),
    (".ffn.net.2.", ".ffn.2."),
    (".norm2.", ".norm3."),
    (".proj_in.", ".before_proj."),
]


def original(name):
    """The name that the published single files have for `name`."""
    if name == "scale_shift_table":
        return "head.modulation"
    if name.startswith("proj_out."):
        return "head.head." + name.removeprefix("proj_out.")
    for ours, theirs in ORIGINAL:
        name = name.replace(ours, theirs)
    return name.replace(".proj_out.", ".after_proj.").replace("scale_shift_table", "modulation")


def original_keys(maker, models):
    """The map, held against the reference's own conversion the other way."""
    names = {}
    for model in models:
        state = model.state_dict()
        theirs = {original(k): v for k, v in state.items()}
        back = convert_wan_transformer_to_diffusers(dict(theirs))
        # The reference's map does not know of this one.
        if "img_emb.emb_pos" in back:
            back["condition_embedder.image_embedder.pos_embed"] = back.pop("img_emb.emb_pos")
        assert set(back) == set(state), set(back) ^ set(state)
        assert all(torch.equal(back[k], state[k]) for k in state)
        names |= {original(k): k for k in state}
    (maker.folder / "original_keys.json").write_text(json.dumps(names, indent=0, sort_keys=True) + "\n")


def packed(data, kind):
    """`data` in blocks of `kind`. ggml's Python package only reads IQ4_NL: here each value
    is the level next to it, with the block's largest on the lowest level."""
    if kind != gguf.GGMLQuantizationType.IQ4_NL:
        return gguf.quants.quantize(data, kind)
    levels = np.array(gguf.quants.IQ4_NL.kvalues, dtype=np.float32)
    blocks = data.reshape(-1, 32)
    largest = np.take_along_axis(blocks, abs(blocks).argmax(1, keepdims=True), 1)
    scale = (largest / levels[0]).astype(np.float16)
    wide = scale.astype(np.float32)[..., None] * levels
    codes = abs(blocks[..., None] - wide).argmin(-1).astype(np.uint8)
    rows = np.concatenate([scale.view(np.uint8), codes[:, :16] | codes[:, 16:] << 4], axis=1)
    return rows.reshape(*data.shape[:-1], -1)


def to_gguf(maker, model, matrices):
    """The model as people have it: original names, matrices in a format of few bits, the
    rest in F32 and F16, and a convolution of five dimensions."""
    stem = f"t2v_{matrices.name.lower()}"
    writer = gguf.GGUFWriter(str(maker.folder / f"{stem}.gguf"), "wan")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    held = {}
    for name, p in model.state_dict().items():
        data = p.detach().numpy()
        kind = gguf.GGMLQuantizationType.F32
        if p.ndim == 2 and p.shape[-1] % 32 == 0:
            kind = matrices
        elif p.ndim == 2:
            kind = gguf.GGMLQuantizationType.F16
        blocks = packed(data, kind)
        writer.add_tensor(original(name), blocks, raw_dtype=kind)
        held[name] = torch.from_numpy(gguf.quants.dequantize(blocks, kind).astype("float32").reshape(p.shape).copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    # What the reference makes of the weights as the file holds them.
    model.load_state_dict(held)
    kept = {"latents": maker.latents(), "prompt": maker.text(), "timestep": torch.tensor([737.0])}
    kept["output"] = run(
        model, hidden_states=kept["latents"], timestep=kept["timestep"], encoder_hidden_states=kept["prompt"]
    )["output"]
    save(maker.folder / f"{stem}.safetensors", kept)


@torch.no_grad()
def lora(maker, model):
    """A change of rank 3 of every matrix of the blocks, in the layouts that people
    have; what they mean is as the reference converts them, at strength 0.8."""
    rank, alpha, strength = 3, 2.0, 0.8
    state = model.state_dict()
    layers = [k.removesuffix(".weight") for k in state if k.startswith("blocks.") and state[k].ndim == 2]
    pairs = {
        k: (
            maker.normal(rank, state[k + ".weight"].shape[1], scale=0.2),
            maker.normal(state[k + ".weight"].shape[0], rank, scale=0.2),
        )
        for k in layers
    }
    bias = "blocks.1.ffn.net.2"
    change = maker.normal(*state[bias + ".bias"].shape, scale=0.3)
    plain, community, musubi = {}, {}, {}
    for k, (down, up) in pairs.items():
        plain[f"transformer.{k}.lora_A.weight"] = down * (alpha / rank)
        plain[f"transformer.{k}.lora_B.weight"] = up
        theirs = original(k + ".").removesuffix(".")
        community[f"diffusion_model.{theirs}.lora_down.weight"] = down
        community[f"diffusion_model.{theirs}.lora_up.weight"] = up
        community[f"diffusion_model.{theirs}.alpha"] = torch.tensor(alpha)
        under = "lora_unet_" + theirs.replace(".", "_")
        musubi[f"{under}.lora_down.weight"] = down
        musubi[f"{under}.lora_up.weight"] = up
        musubi[f"{under}.alpha"] = torch.tensor(alpha)
    community[f"diffusion_model.{original(bias + '.').removesuffix('.')}.diff_b"] = change
    kept = {"latents": maker.latents(), "prompt": maker.text(), "timestep": torch.tensor([610.0])}

    def merged(changes):
        merged = {k: v.clone() for k, v in state.items()}
        for k in layers:
            down, up = (changes[f"transformer.{k}.lora_{x}.weight"] for x in "AB")
            merged[k + ".weight"] += strength * (up @ down)
            if f"transformer.{k}.lora_B.bias" in changes:
                merged[k + ".bias"] += strength * changes[f"transformer.{k}.lora_B.bias"]
        other = WanTransformer3DModel(**COMMON)
        other.load_state_dict(merged)
        return run(
            other, hidden_states=kept["latents"], timestep=kept["timestep"], encoder_hidden_states=kept["prompt"]
        )["output"]

    kept["diffusers"] = merged(plain)
    kept["community"] = merged(_convert_non_diffusers_wan_lora_to_diffusers({k: v.clone() for k, v in community.items()}))
    kept["musubi"] = merged(_convert_musubi_wan_lora_to_diffusers({k: v.clone() for k, v in musubi.items()}))
    # The conversions scale in place, hence the copies above.
    folder = maker.folder / "lora"
    save(folder / "reference.safetensors", kept)
    for name, tensors in [("diffusers", plain), ("community", community), ("musubi", musubi)]:
        save(folder / f"{name}.safetensors", tensors)


def main():
    arguments = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    maker = Maker(arguments.folder, arguments.seed, arguments.odd)
    models = [make(maker) for make in [t2v, i2v, vace, ti2v]]
    a14b(maker)
    schedulers(maker)
    original_keys(maker, models)
    lora(maker, models[0])
    to_gguf(maker, models[0], gguf.GGMLQuantizationType.Q8_0)
    to_gguf(maker, models[0], gguf.GGMLQuantizationType.IQ4_NL)


if __name__ == "__main__":
    main()
