"""What one streamed event of an OpenAI-compatible endpoint says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rnj_lsp.models.model import FinishReason, ModelBroken, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer, before any cutting."""

    text: str = ""
    finish: FinishReason | None = None
    usage: Usage | None = None
    calls: tuple[Mapping[str, Any], ...] = ()
    """Fragments of tool calls, as OpenAI streams them."""


def completion_piece(event: Mapping[str, Any], where: str) -> Piece:
    """Return the piece in an event of `/completions`; raises `ModelBroken` for a strange one."""
    choice = _choice(event, where)
    return Piece(
        text=_text(choice.get("text"), where),
        finish=_finish(choice.get("finish_reason")),
        usage=usage_of(event.get("usage")),
    )


def chat_piece(event: Mapping[str, Any], where: str) -> Piece:
    """Return the piece in an event of `/chat/completions`."""
    choice = _choice(event, where)
    delta = choice.get("delta") or {}
    if not isinstance(delta, Mapping):
        raise _strange(where)
    calls = delta.get("tool_calls") or ()
    if not isinstance(calls, list | tuple) or not all(isinstance(c, Mapping) for c in calls):
        raise _strange(where)
    return Piece(
        text=_text(delta.get("content"), where),
        finish=_finish(choice.get("finish_reason")),
        usage=usage_of(event.get("usage")),
        calls=tuple(calls),
    )


def usage_of(usage: object) -> Usage | None:
    """Return the usage in an event, with -1 for what is not told."""
    if not isinstance(usage, Mapping):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return Usage(
        prompt_tokens=count(usage.get("prompt_tokens")),
        cached_tokens=count(cached),
        completion_tokens=count(usage.get("completion_tokens")),
    )


@dataclass(slots=True)
class Calls:
    """Tool calls, put together from their fragments."""

    _parts: dict[int | str, dict[str, str]] = field(default_factory=dict)

    def add(self, fragments: Iterable[Mapping[str, Any]]) -> None:
        """Take the fragments of one event."""
        for fragment in fragments:
            # Some servers leave the index out; then each fragment with an id is a new call.
            key, name = fragment.get("index"), _plain(fragment.get("id"))
            if not isinstance(key, int):
                key = name or next(reversed(self._parts), 0)
            call = self._parts.setdefault(key, {"id": "", "name": "", "arguments": ""})
            function = fragment.get("function")
            function = function if isinstance(function, Mapping) else {}
            call["id"] = call["id"] or name
            call["name"] += _plain(function.get("name"))
            call["arguments"] += _plain(function.get("arguments"))

    def done(self) -> tuple[ToolCall, ...]:
        """Return the whole calls in order; one without an id gets its number."""
        return tuple(
            ToolCall(call["id"] or f"call_{number}", call["name"], call["arguments"])
            for number, call in enumerate(self._parts.values())
        )


def _plain(value: object) -> str:
    """Return a text; some servers send arguments as an object where OpenAI sends its JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, Mapping) else ""


def _choice(event: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    choices = event.get("choices")
    if choices == [] or (choices is None and "usage" in event):
        return {}
    if not isinstance(choices, list) or not isinstance(choices[0], Mapping):
        raise _strange(where)
    return choices[0]


def _text(text: object, where: str) -> str:
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _strange(where)
    return text


def _finish(reason: object) -> FinishReason | None:
    """Return the reason in the protocol's words; endpoints have many for a plain stop."""
    if not reason:
        return None
    if reason == "length":
        return "length"
    return "tool_calls" if reason in ("tool_calls", "function_call") else "stop"


def count(number: object) -> int:
    """Return a count of tokens, -1 where it is not one."""
    return number if isinstance(number, int) and not isinstance(number, bool) else -1


def _strange(where: str) -> ModelBroken:
    return ModelBroken(f"{where} sent an answer that is not OpenAI's protocol")
