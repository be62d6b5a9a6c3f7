"""What a model file says of itself, and what it was recognised as."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_cpp import llama_cpp

from rnj_lsp.models.catalog import Family, recognise
from rnj_lsp.models.host.vocab import Vocabulary


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model file, without its weights."""

    path: Path
    architecture: str
    title: str
    """Its own name for itself; empty where it has none."""

    size_bytes: int
    context_tokens: int
    """The window it was trained for; 0 where it does not say."""

    family: Family
    fills: bool
    reason: str
    """How the family was recognised, or why it cannot fill in the middle."""

    chat_template: str
    """Jinja; empty where the file has none."""


def read_facts(path: Path, model: Any, vocabulary: Vocabulary) -> ModelFacts:
    """Return the facts of a loaded model; its vocabulary alone is enough."""
    metadata = _metadata(model)
    architecture = metadata.get("general.architecture", "")
    found = recognise(
        metadata, lambda text: vocabulary.find(text) is not None, vocabulary.detected_fim()
    )
    template: bytes | None = llama_cpp.llama_model_chat_template(model, None)
    context = metadata.get(f"{architecture}.context_length", "0")
    return ModelFacts(
        path=path,
        architecture=architecture,
        title=metadata.get("general.name", ""),
        size_bytes=path.stat().st_size,
        context_tokens=int(context) if context.isdigit() else 0,
        family=found.family,
        fills=found.fills and found.family.fim is not None,
        reason=found.reason,
        chat_template=(template or b"").decode("utf-8", "replace"),
    )


def _metadata(model: Any) -> Mapping[str, str]:
    found = dict[str, str]()
    for at in range(llama_cpp.llama_model_meta_count(model)):
        key = _text(llama_cpp.llama_model_meta_key_by_index, model, at)
        # The vocabulary and the chat template are long, and are read in other ways.
        if not key.startswith("tokenizer."):
            found[key] = _text(llama_cpp.llama_model_meta_val_str_by_index, model, at)
    return found


def _text(read: Callable[[Any, int, Any, int], int], model: Any, at: int) -> str:
    """Return a text that llama.cpp writes into a buffer, however long it is."""
    size = 256
    while True:
        buffer = ctypes.create_string_buffer(size)
        length = read(model, at, buffer, size)
        if length < size:
            return buffer.value.decode("utf-8", "replace")
        size = length + 1
