"""What an endpoint's list of models says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from rnj_lsp.models.model import ModelInfo

OLLAMA_PORT = 11434


@dataclass(frozen=True, slots=True)
class Served:
    """The models of an endpoint."""

    names: tuple[str, ...] = ()
    own: Mapping[str, Any] | None = None
    """What our own host tells of its model; None at any other endpoint."""

    ollama: bool = False
    """It is Ollama, which wraps a raw prompt in a chat template unless its own API is used."""

    origin: str = ""
    """Where the model in use comes from, when the list tells it, as vLLM's `root` does."""

    context_tokens: int | None = None
    """The window of the model in use, where the list tells it, as vLLM's does."""


def served_by(answer: object, base_url: str, model_name: str) -> Served:
    """Return what the answer of `/v1/models` says; nothing where it is not OpenAI's protocol."""
    items = answer.get("data") if isinstance(answer, Mapping) else None
    entries = [
        item
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, Mapping) and isinstance(item.get("id"), str)
    ]
    own = next((entry["rnj"] for entry in entries if isinstance(entry.get("rnj"), Mapping)), None)
    used = (entry for entry in entries if not model_name or entry["id"] == model_name)
    mine: Mapping[str, Any] = next(used, {})
    window, root = mine.get("max_model_len"), mine.get("root")
    return Served(
        names=tuple(entry["id"] for entry in entries),
        own=own,
        ollama=_port(base_url) == OLLAMA_PORT
        or any(entry.get("owned_by") == "library" for entry in entries),
        origin=root if isinstance(root, str) else "",
        context_tokens=window if type(window) is int and window > 0 else None,
    )


def informed(info: ModelInfo, served: Served) -> ModelInfo:
    """Return what is known of the model with what its endpoint tells."""
    if served.own is None:
        if served.context_tokens is None:
            return info
        return replace(info, context_tokens=served.context_tokens)
    told = {
        name: served.own[name] for name, kind in _TOLD.items() if type(served.own.get(name)) is kind
    }
    return replace(info, **told)


_TOLD = {"family": str, "fills": bool, "chats": bool, "context_tokens": int, "starter": bool}
"""Fields of `ModelInfo` that our own host tells, with their types."""


def _port(base_url: str) -> int | None:
    try:
        return urlsplit(base_url).port
    except ValueError:
        return None
