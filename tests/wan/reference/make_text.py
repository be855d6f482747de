"""Makes the fixtures of the wan engine's text encoder with the reference
implementation.

    python make_text.py OUT_DIR [--seed N]

It writes `text/tokenizer/tokenizer.json` (a small unigram tokenizer of the same
kind as UMT5's, trained on the lines below), `text/text_encoder/` as
`save_pretrained` does (random weights that bf16 holds exactly), and
`text/reference.safetensors`: for each prompt its token numbers, and the
embeddings that the reference's pipeline makes of it. `text/prompts.json` holds
the prompts as typed and as the pipeline cleans them.
"""

import json
import shutil

import torch
from diffusers import WanPipeline
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from arguments import parser

LENGTH = 48

PROMPTS = [
    "A fountain in the sun, water falling in sheets",
    "",
    "  a  candle   flame,\n\tflickering in the dark\u00a0room ",
    "steam &amp; smoke over a harbour at night &lt;wide shot&gt;",
    "caf\u00e9 \u2014 \u6c34\u306e\u6d41\u308c, fl\u00fcsternde Bl\u00e4tter",
    "flag",
    "waves roll in, waves roll out, the camera stays where it is, waves roll in",
]

# Only cleaned, not encoded.
TYPED = [
    "\u201cA \u2018quiet\u2019 lake\u201d \u2013 it\u2019s dawn",
    "a \ufb01re that \ufb02ickers, o\ufb03ce lights",
    "\uff21\uff22 \uff11\uff12\u3000wide",
    "tab\tand\r\nline\u2028break\u00a0here\u2003now",
    "bell\u0007 and\ufeff mark",
    "&amp;lt;b&amp;gt; &#65;&#x42; &hellip; &unknown; R&D & more",
    "5 < 6 &amp; 7 > 3",
]

LINES = [
    "a fountain in the sun, water falling in sheets over stone",
    "a candle flame flickering in a dark room",
    "steam and smoke over a harbour at night, wide shot",
    "waves roll in and out, the camera stays still",
    "a flag in the wind, leaves whisper, rain on a window",
    "bright tones, overexposed, static, blurred details, low quality",
]


def tokenizer(folder):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    special = ["<pad>", "</s>", "<unk>"]
    t.train_from_iterator(
        LINES * 20,
        trainers.UnigramTrainer(
            vocab_size=160, special_tokens=special, unk_token="<unk>", show_progress=False
        ),
    )
    t.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", t.token_to_id("</s>"))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=t, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    return fast


@torch.no_grad()
def make(out, seed):
    generator = torch.Generator().manual_seed(seed)
    folder = out / "text"
    shutil.rmtree(folder, ignore_errors=True)
    tokens = tokenizer(folder / "tokenizer")
    config = UMT5Config(
        vocab_size=len(tokens) + 3,
        d_model=24,
        d_kv=10,
        d_ff=44,
        num_layers=3,
        num_heads=3,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=16,
    )
    model = UMT5EncoderModel(config).eval()
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if "layer_norm" in name:
            p.data = 1 + 0.2 * noise
        elif "relative_attention_bias" in name or "shared" in name:
            p.data = noise
        else:
            p.data = noise * p.shape[1] ** -0.5
        p.data = p.data.bfloat16().float()
    model.to(torch.bfloat16).save_pretrained(folder / "text_encoder")
    model.float()

    pipeline = WanPipeline(tokens, model, vae=None, scheduler=None, transformer=None)
    tensors = {}
    for i, prompt in enumerate(PROMPTS):
        embeds = pipeline._get_t5_prompt_embeds(prompt, max_sequence_length=LENGTH)
        ids = tokens(prompt_clean(prompt)).input_ids
        assert len(ids) <= LENGTH
        tensors[f"{i}.ids"] = torch.tensor(ids)
        # All beyond the prompt is 0 (asserted), so it is not stored.
        assert not embeds[0, len(ids) :].any()
        tensors[f"{i}.embeds"] = embeds[0, : len(ids)].contiguous()
        if i == 0:
            states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            for layer, state in enumerate(states):
                tensors[f"{i}.state.{layer}"] = state[0].contiguous()
    save_file(tensors, folder / "reference.safetensors")
    prompts = [{"typed": p, "clean": prompt_clean(p)} for p in PROMPTS + TYPED]
    text = json.dumps({"length": LENGTH, "prompts": prompts}, indent=1, ensure_ascii=False)
    (folder / "prompts.json").write_text(text + "\n", encoding="utf-8")


def main():
    # The sizes here are odd anyway.
    args = parser(__doc__).parse_args()
    torch.use_deterministic_algorithms(True)
    make(args.folder, args.seed)


if __name__ == "__main__":
    main()
