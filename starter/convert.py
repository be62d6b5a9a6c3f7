"""The GGUF file: a checkpoint written for llama.cpp, matrices in Q8_0.

    python convert.py WORK [--checkpoint best.pt] [--type q8_0] [--output starter.gguf]

Without --output the file goes where the package looks for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray

import tokenizer as bpe
from command import command
from model import Shape

PACKAGED = Path(__file__).parent.parent / "rnj_lsp" / "models" / "host" / "starter.gguf"
LIMIT = 32_000_000

TYPES = {
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "f16": gguf.GGMLQuantizationType.F16,
    "f32": gguf.GGMLQuantizationType.F32,
}
FILE_TYPES = {
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "f32": gguf.LlamaFileType.ALL_F32,
}

NAMES = {
    "attention_norm": "attn_norm",
    "attention.q": "attn_q",
    "attention.k": "attn_k",
    "attention.v": "attn_v",
    "attention.output": "attn_output",
    "attention.q_norm": "attn_q_norm",
    "attention.k_norm": "attn_k_norm",
    "attention_post_norm": "post_attention_norm",
    "feed_norm": "ffn_norm",
    "feed.gate": "ffn_gate",
    "feed.up": "ffn_up",
    "feed.down": "ffn_down",
    "feed_post_norm": "post_ffw_norm",
}
"""llama.cpp's name for each weight of a block."""


def gguf_name(name: str) -> str:
    """llama.cpp's name for a weight of the network."""
    whole = {"embedding.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
    if name in whole:
        return whole[name]
    _, number, rest = name.split(".", 2)
    return f"blk.{number}.{NAMES[rest.removesuffix('.weight')]}.weight"


def add_settings(writer: gguf.GGUFWriter, shape: Shape, file_type: gguf.LlamaFileType) -> None:
    """Everything llama.cpp must know about the network, and who made it."""
    writer.add_name("Rnj starter")
    writer.add_description("Small fill-in-the-middle code model: suffix first, then prefix")
    writer.add_license("apache-2.0")
    writer.add_file_type(file_type)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_freq_base(shape.rope_base)


def add_vocabulary(writer: gguf.GGUFWriter, work: Path) -> None:
    """Tokens, merges and special ids."""
    model = json.loads((work / "tokenizer.json").read_text(encoding="utf-8"))
    ordinary = sorted(model["model"]["vocab"].items(), key=lambda item: item[1])
    tokens = [name for name, number in ordinary if number < bpe.FIRST_SPECIAL]
    tokens += bpe.SPECIALS
    if len(tokens) != bpe.VOCABULARY:
        raise SystemExit(f"the tokenizer has {len(tokens)} tokens, not {bpe.VOCABULARY}")
    types = [gguf.TokenType.NORMAL] * bpe.FIRST_SPECIAL
    types += [gguf.TokenType.CONTROL] * len(bpe.SPECIALS)
    merges = [
        pair if isinstance(pair, str) else " ".join(pair) for pair in model["model"]["merges"]
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(bpe.BEGIN)
    writer.add_eos_token_id(bpe.END)
    writer.add_pad_token_id(bpe.END)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)


def add_weights(writer: gguf.GGUFWriter, weights: dict[str, torch.Tensor], kind: str) -> None:
    """All tensors: norms in float32 as 1 + w, matrices in the asked type."""
    for name, tensor in weights.items():
        values: NDArray[np.float32] = tensor.float().numpy()
        if tensor.ndim == 1:
            writer.add_tensor(gguf_name(name), values + np.float32(1.0))
        else:
            packed = gguf.quants.quantize(values, TYPES[kind])
            writer.add_tensor(gguf_name(name), packed, raw_dtype=TYPES[kind])


def main() -> None:
    """Write the GGUF file."""
    parser = command(__doc__)
    parser.add_argument("--checkpoint", default="best.pt", help="a file in WORK")
    parser.add_argument("--type", choices=sorted(TYPES), default="q8_0")
    parser.add_argument("--output", type=Path, default=PACKAGED)
    arguments = parser.parse_args()
    state: dict[str, Any] = torch.load(arguments.work / arguments.checkpoint, weights_only=True)
    output: Path = arguments.output
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(output.name + ".partial")
    writer = gguf.GGUFWriter(partial, "gemma3")
    add_settings(writer, Shape(**state["shape"]), FILE_TYPES[arguments.type])
    add_vocabulary(writer, arguments.work)
    add_weights(writer, state["model"], arguments.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if partial.stat().st_size > LIMIT:
        raise SystemExit(f"{partial.stat().st_size} bytes: more than the {LIMIT} that are bundled")
    partial.replace(output)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, step {state['progress']['step']}")


if __name__ == "__main__":
    main()
