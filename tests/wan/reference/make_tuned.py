"""Makes changes to the small text model beyond products of two matrices, as peft and
LyCORIS save them, and what the model gives with them.

    python make_tuned.py FOLDER [--seed N] [--odd]

FOLDER has what make_transformer.py made. FOLDER/tuned/NAME/ holds each change with what
is saved beside it, FOLDER/tuned/reference.safetensors the inputs and the outputs.
"""

import json
import shutil

import torch
from diffusers import WanTransformer3DModel
from lycoris import LycorisNetwork
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model

from arguments import parser
from make_transformer import Maker, run, save

# Linear layers of the blocks, and a convolution.
LAYERS = ["to_q", "to_v", "net.0.proj", "net.2"]
CONVOLUTION = "patch_embedding"

PEFT = {
    "peft_dora": LoraConfig(r=3, lora_alpha=4, use_dora=True, target_modules=LAYERS + [CONVOLUTION]),
    "peft_loha": LoHaConfig(r=3, alpha=4, target_modules=LAYERS),
    # The second matrix is a product where that is smaller, and whole where it is not.
    "peft_lokr": LoKrConfig(
        r=2, alpha=3, decompose_factor=2, rank_pattern={"net.2": 20}, target_modules=LAYERS
    ),
}

LYCORIS = {
    "dora_of_rows": dict(network_module="locon", weight_decompose=True, wd_on_out=True),
    "dora_of_columns": dict(network_module="locon", weight_decompose=True, wd_on_out=False),
    "loha": dict(network_module="loha"),
    "lokr": dict(network_module="lokr", factor=2),
    "lokr_of_products": dict(network_module="lokr", factor=4, decompose_both=True, lora_dim=1),
    "lokr_of_rows": dict(network_module="lokr", factor=4, weight_decompose=True, wd_on_out=True),
}


@torch.no_grad()
def drawn(maker, parameters):
    """Random numbers for what a tuner would have learnt."""
    for name, p in parameters:
        if "magnitude" in name or "dora_scale" in name:
            p.mul_(1 + maker.normal(*p.shape, scale=0.3))
        elif "lokr" in name or "hada" in name:
            p.copy_(maker.normal(*p.shape, scale=0.5))
        else:
            p.copy_(maker.normal(*p.shape, scale=0.2))


def by_peft(maker, model, config, folder):
    tuned = get_peft_model(model, config)
    drawn(maker, [(n, p) for n, p in tuned.named_parameters() if p.requires_grad])
    tuned.save_pretrained(folder)
    (folder / "README.md").unlink()
    told = json.loads((folder / "adapter_config.json").read_text())
    # As it is from one making to the next, and on another machine.
    told["target_modules"] = sorted(told["target_modules"])
    told["base_model_name_or_path"] = None
    (folder / "adapter_config.json").write_text(json.dumps(told, indent=2) + "\n")
    return tuned.merge_and_unload()


def by_lycoris(maker, model, settings, folder):
    LycorisNetwork.apply_preset({"target_module": ["WanTransformerBlock"], "target_name": [CONVOLUTION]})
    settings = {"lora_dim": 3, "conv_lora_dim": 3, "alpha": 2, "conv_alpha": 2, **settings}
    tuned = LycorisNetwork(model, **settings)
    tuned.apply_to()
    drawn(maker, tuned.named_parameters())
    folder.mkdir(parents=True)
    tuned.save_weights(str(folder / "lycoris.safetensors"), torch.float32, {})
    # Every layer knows of its change now, and asks it.
    tuned.eval()
    return model


def main():
    arguments = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    maker = Maker(arguments.folder / "tuned", arguments.seed + 1, arguments.odd)
    torch.manual_seed(arguments.seed + 1)
    shutil.rmtree(maker.folder, ignore_errors=True)
    kept = {"latents": maker.latents(), "prompt": maker.text(), "timestep": torch.tensor([610.0])}
    makers = [(by_peft, PEFT), (by_lycoris, LYCORIS)]
    for name, make, how in [(n, make, how) for make, all in makers for n, how in all.items()]:
        model = WanTransformer3DModel.from_pretrained(arguments.folder / "t2v" / "transformer")
        model = make(maker, model.eval(), how, maker.folder / name).eval()
        kept[name] = run(
            model, hidden_states=kept["latents"], timestep=kept["timestep"], encoder_hidden_states=kept["prompt"]
        )["output"]
    save(maker.folder / "reference.safetensors", kept)


if __name__ == "__main__":
    main()
