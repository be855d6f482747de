"""Makes tensors in every block format of GGUF, and what ggml's own reader (its Python
package) makes of them.

    python make_blocks.py FOLDER [--seed N] [--odd]

FOLDER/blocks.gguf holds a matrix of each format, of random blocks; those of formats with
a grid name every point of it once. FOLDER/blocks.safetensors holds their values.
"""

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from safetensors.numpy import save_file

from arguments import parser

# Where a block has its scales of 16 bits.
SCALES = {
    **dict.fromkeys([Kind.Q4_0, Kind.Q5_0, Kind.Q8_0, Kind.IQ4_NL, Kind.IQ4_XS, Kind.IQ3_S], [0]),
    **dict.fromkeys([Kind.IQ3_XXS, Kind.IQ2_S, Kind.IQ2_XS, Kind.IQ2_XXS, Kind.IQ1_S], [0]),
    **dict.fromkeys([Kind.Q4_1, Kind.Q5_1, Kind.Q4_K, Kind.Q5_K], [0, 2]),
    Kind.Q2_K: [80, 82],
    Kind.Q3_K: [108],
    Kind.Q6_K: [208],
    Kind.TQ2_0: [64],
    Kind.TQ1_0: [52],
    # In four parts, see `scaled`.
    Kind.IQ1_M: [],
}

# Points of a grid, and how many of them a block names.
GRIDS = {
    Kind.IQ3_S: (512, 64),
    Kind.IQ3_XXS: (256, 64),
    Kind.IQ2_S: (1024, 32),
    Kind.IQ2_XS: (512, 32),
    Kind.IQ2_XXS: (256, 32),
    Kind.IQ1_S: (2048, 32),
}


def scaled(blocks, kind, rng):
    """Scales of the size that weights have."""
    count = len(blocks)

    def scale():
        size = rng.uniform(0.001, 0.1, count) * rng.choice([-1, 1], count)
        return size.astype(np.float16)

    for at in SCALES[kind]:
        blocks[:, at : at + 2] = scale().view(np.uint8).reshape(count, 2)
    if kind == Kind.IQ1_M:
        bits = scale().view(np.uint16)
        for i in range(4):
            byte = blocks[:, 49 + 2 * i]
            byte[:] = (byte & 15) | ((bits >> (4 * i) & 15) << 4).astype(np.uint8)


def named(blocks, kind, places):
    """Names the points `places` [blocks, points of a block]."""
    low, high = (places & 255).astype(np.uint8), places >> 8
    if kind == Kind.IQ2_XXS:
        parts = blocks[:, 2:].reshape(len(blocks), 8, 8)
        parts[:, :, :4] = low.reshape(len(blocks), 8, 4)
        blocks[:, 2:] = parts.reshape(len(blocks), -1)
    elif kind == Kind.IQ2_XS:
        blocks[:, 2:66:2] = low
        blocks[:, 3:66:2] = (blocks[:, 3:66:2] & 254) | high.astype(np.uint8)
    else:
        blocks[:, 2 : 2 + places.shape[1]] = low
    if kind == Kind.IQ3_S:
        blocks[:, 66:74] = np.packbits(high.astype(bool), axis=1, bitorder="little")
    elif kind == Kind.IQ2_S:
        blocks[:, 66:74] = (high.reshape(-1, 8, 4) << (2 * np.arange(4))).sum(-1).astype(np.uint8)
    elif kind == Kind.IQ1_S:
        aside = blocks[:, 34:].copy().view(np.uint16) & 0xF000
        aside |= (high.reshape(-1, 8, 4) << (3 * np.arange(4))).sum(-1).astype(np.uint16)
        blocks[:, 34:] = aside.view(np.uint8)


def main():
    arguments = parser(__doc__).parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    rows = 3 if arguments.odd else 4
    writer = gguf.GGUFWriter(str(arguments.folder / "blocks.gguf"), "wan")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    kept = {}
    for kind in SCALES:
        _, size = gguf.GGML_QUANT_SIZES[kind]
        points, of_block = GRIDS.get(kind, (0, 1))
        # Rows of as many blocks; the last of them name what points they like.
        count = -(-max(points // of_block, 2) // rows) * rows
        blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
        scaled(blocks, kind, rng)
        if points:
            whole = points // of_block
            named(blocks[:whole], kind, rng.permutation(points).reshape(whole, of_block))
        packed = blocks.reshape(rows, -1)
        writer.add_tensor(f"{kind.name}.weight", packed, raw_dtype=kind)
        kept[kind.name] = gguf.quants.dequantize(packed, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(kept, str(arguments.folder / "blocks.safetensors"))


if __name__ == "__main__":
    main()
