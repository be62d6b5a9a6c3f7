"""Tiny random-weight GGUF models of Rnj-1's shape, for tests of the model host."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

SPECIALS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|pre_fim|>",
    "<|suf_fim|>",
    "<|mid_fim|>",
    "<|eoc_fim|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|exec_start|>",
    "<|eot_id|>",
    "<|exec_end|>",
    "<|exec_error|>",
    "<tool_call>",
    "</tool_call>",
    "<|file_name_start|>",
    "<|file_name_end|>",
)
"""Rnj-1's special tokens in the order of their ids."""

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n' }}
{%- if loop.first and tools %}{{- '<tools>' }}
{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}{{- '</tools>\\n' }}{%- endif %}
{{- message.content | trim }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>' + (call.function.arguments | tojson) + '</tool_call>' }}
{%- endfor %}
{{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n' }}{%- endif %}
"""
"""Headers like Llama 3's, with one newline after them."""

_MERGES = ("Ġ Ġ", "ĠĠ ĠĠ", "d e", "de f", "r e", "re t", "u r", "ur n", "ret urn", "i n", "s e")


@dataclass(frozen=True, slots=True)
class TinyModel:
    """What to write. The weights are random but always the same."""

    name: str = "Rnj-1 tiny"
    """The general name in the file: the catalogue recognises families by it."""

    answer: bytes = b""
    """When given, the model writes these bytes, each in its own token, after the token `=`,
    and then ends. No byte may come twice, because the model only looks at the last token."""

    user_defined: bool = False
    """The file calls the special tokens "user-defined", but for the beginning and end of text."""

    chat_template: str = CHAT_TEMPLATE
    context_tokens: int = 8192
    sliding_window: int = 0
    """Tokens that a layer looks back; 0: all."""

    width: int = 64
    layers: int = 2
    quantised: bool = False
    """Store the matrices as Q8_0."""

    tokenizer: Path | None = None
    """Rnj-1's `tokenizer.json`, perhaps with `.br`; None: a small made-up vocabulary."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, merges, and the id of the first special token."""

    tokens: list[str]
    merges: list[str]
    first_special: int

    def id_of(self, text: str) -> int:
        """Return a token's id by its spelling."""
        return self.tokens.index(text)


def write_tiny_gguf(path: Path, model: TinyModel) -> Vocabulary:
    """Write the model file and return its vocabulary."""
    vocabulary = (
        small_vocabulary() if model.tokenizer is None else vocabulary_of_file(model.tokenizer)
    )
    writer = gguf.GGUFWriter(path, "gemma3")
    _write_settings(writer, model)
    _write_vocabulary(writer, vocabulary, model)
    _write_weights(writer, vocabulary, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return vocabulary


def small_vocabulary() -> Vocabulary:
    """Return a byte-level vocabulary with a few merges and Rnj-1's special tokens."""
    tokens = [_byte_token(byte) for byte in range(256)]
    tokens += [merge.replace(" ", "") for merge in _MERGES]
    first = len(tokens)
    return Vocabulary([*tokens, *SPECIALS], list(_MERGES), first)


def vocabulary_of_file(path: Path) -> Vocabulary:
    """Return the vocabulary of a `tokenizer.json` file of the `tokenizers` library."""
    data = path.read_bytes()
    if path.suffix == ".br":
        import brotli

        data = brotli.decompress(data)
    table = json.loads(data)
    by_id = {number: text for text, number in table["model"]["vocab"].items()}
    added = {item["id"]: item["content"] for item in table["added_tokens"]}
    by_id |= added
    merges = [
        merge if isinstance(merge, str) else " ".join(merge) for merge in table["model"]["merges"]
    ]
    return Vocabulary([by_id[number] for number in range(len(by_id))], merges, min(added))


def _write_settings(writer: gguf.GGUFWriter, model: TinyModel) -> None:
    writer.add_name(model.name)
    kind = gguf.LlamaFileType.MOSTLY_Q8_0 if model.quantised else gguf.LlamaFileType.ALL_F32
    writer.add_file_type(kind)
    writer.add_context_length(model.context_tokens)
    writer.add_embedding_length(model.width)
    writer.add_block_count(model.layers)
    writer.add_feed_forward_length(2 * model.width)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(32)
    writer.add_value_length(32)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    if model.sliding_window:
        writer.add_sliding_window(model.sliding_window)


def _write_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary, model: TinyModel) -> None:
    first = vocabulary.first_special
    kinds = [gguf.TokenType.NORMAL] * first
    kinds += [gguf.TokenType.CONTROL] * (len(vocabulary.tokens) - first)
    if model.user_defined:
        kinds[first + 2 :] = [gguf.TokenType.USER_DEFINED] * (len(kinds) - first - 2)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.id_of("<|begin_of_text|>"))
    writer.add_eos_token_id(vocabulary.id_of("<|end_of_text|>"))
    writer.add_add_bos_token(True)
    if model.chat_template:
        writer.add_chat_template(model.chat_template)


def _write_weights(writer: gguf.GGUFWriter, vocabulary: Vocabulary, model: TinyModel) -> None:
    random = np.random.default_rng(1)
    width, hidden, count = model.width, 2 * model.width, len(vocabulary.tokens)

    def matrix(name: str, rows: int, columns: int, scale: float) -> None:
        values = random.standard_normal((rows, columns), dtype=np.float32) * np.float32(scale)
        _add_matrix(writer, name, values, model.quantised)

    def norm(name: str, size: int, value: float = 1.0) -> None:
        writer.add_tensor(name, np.full(size, value, dtype=np.float32))

    # A scripted model must look at its last token only, so its blocks add nothing.
    added = 0.0 if model.answer else 1.0
    embedding = random.standard_normal((count, width), dtype=np.float32) * np.float32(0.2)
    _add_matrix(writer, "token_embd.weight", embedding, model.quantised)
    if model.answer:
        _add_matrix(writer, "output.weight", _script(embedding, vocabulary, model.answer), False)
    norm("output_norm.weight", width)
    for at in range(model.layers):
        block = f"blk.{at}"
        matrix(f"{block}.attn_q.weight", 64, width, 0.2)
        matrix(f"{block}.attn_k.weight", 32, width, 0.2)
        matrix(f"{block}.attn_v.weight", 32, width, 0.2)
        matrix(f"{block}.attn_output.weight", width, 64, 0.2)
        matrix(f"{block}.ffn_gate.weight", hidden, width, 0.2)
        matrix(f"{block}.ffn_up.weight", hidden, width, 0.2)
        matrix(f"{block}.ffn_down.weight", width, hidden, 0.2)
        norm(f"{block}.attn_q_norm.weight", 32)
        norm(f"{block}.attn_k_norm.weight", 32)
        norm(f"{block}.attn_norm.weight", width)
        norm(f"{block}.post_attention_norm.weight", width, added)
        norm(f"{block}.ffn_norm.weight", width)
        norm(f"{block}.post_ffw_norm.weight", width, added)


def _script(
    embedding: npt.NDArray[np.float32], vocabulary: Vocabulary, answer: bytes
) -> npt.NDArray[np.float32]:
    """Return output weights with which each token of the answer calls for the next one."""
    texts = ["=", *(_byte_token(byte) for byte in answer), "<|eoc_fim|>"]
    assert len(set(texts)) == len(texts), "a byte of the answer comes twice, or is the token ="
    chain = [vocabulary.id_of(text) for text in texts]
    output = np.zeros_like(embedding)
    for one, following in itertools.pairwise(chain):
        output[following] = 10 * embedding[one] / np.linalg.norm(embedding[one])
    return output


def _add_matrix(
    writer: gguf.GGUFWriter, name: str, values: npt.NDArray[np.float32], quantised: bool
) -> None:
    if quantised:
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, values)


def _byte_token(byte: int) -> str:
    """Return the character by which a byte-level BPE vocabulary spells a byte.

    Printable bytes stand for themselves; the others follow from U+0100 on, as in GPT-2.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in printable:
        return chr(byte)
    return chr(0x100 + [other for other in range(256) if other not in printable].index(byte))
