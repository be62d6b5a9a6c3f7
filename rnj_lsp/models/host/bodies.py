"""What a request's JSON asks for; OpenAI's names, checked by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnj_lsp.models.catalog import Sampling as Recommended
from rnj_lsp.models.host.engine import Generation
from rnj_lsp.models.host.sampling import Sampling

_MOST_STOPS, _LONGEST_STOP = 64, 1024
_COMPLETION_TOKENS = 16
"""OpenAI's default for `max_tokens`."""

_UNLIMITED = 1 << 30
"""The engine stops at the end of the window anyway."""


class BadRequest(Exception):
    """The request is not one that can be answered; its text says why."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the answer is sent."""

    stream: bool
    usage: bool
    """Send the usage with each chunk of a stream, and once more as its end."""


@dataclass(frozen=True, slots=True)
class CompletionBody:
    """A request to `/v1/completions`."""

    prompt: str | list[int]
    suffix: str | None
    generation: Generation
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class ChatBody:
    """A request to `/v1/chat/completions`."""

    messages: list[Mapping[str, Any]]
    tools: list[Any]
    generation: Generation
    delivery: Delivery


def completion_body(body: Mapping[str, Any], vocabulary_size: int) -> CompletionBody:
    """Return a checked request for a completion; raises `BadRequest`."""
    _refuse_unsupported(body)
    prompt = body.get("prompt", "")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, list):
        prompt = _tokens(prompt, "prompt", vocabulary_size)
    elif not isinstance(prompt, str):
        raise BadRequest("prompt must be a string or a list of token ids", "prompt")
    suffix = body.get("suffix")
    if suffix is not None and not isinstance(suffix, str):
        raise BadRequest("suffix must be a string", "suffix")
    if suffix is not None and not isinstance(prompt, str):
        raise BadRequest("with suffix, prompt must be a string", "prompt")
    limit = _whole(body, "max_tokens", 0, _COMPLETION_TOKENS)
    sampling = _sampling(body, 0.0, 1.0)
    generation = _generation(body, limit, sampling, vocabulary_size, show_special=False)
    return CompletionBody(prompt, suffix, generation, _delivery(body))


def chat_body(body: Mapping[str, Any], vocabulary_size: int, recommended: Recommended) -> ChatBody:
    """Return a checked request for a chat turn; raises `BadRequest`."""
    _refuse_unsupported(body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list with at least one message", "messages")
    for message in messages:
        _check_message(message)
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise BadRequest("tools must be a list", "tools")
    name = "max_completion_tokens" if body.get("max_completion_tokens") else "max_tokens"
    limit = _whole(body, name, 0, _UNLIMITED)
    sampling = _sampling(body, recommended.temperature, recommended.top_p)
    generation = _generation(body, limit, sampling, vocabulary_size, show_special=True)
    return ChatBody(messages, tools, generation, _delivery(body))


def tokenize_body(body: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the text, and whether special tokens in it are parsed; raises `BadRequest`."""
    content = body.get("content")
    if not isinstance(content, str):
        raise BadRequest("content must be a string", "content")
    return content, _flag(body, "special")


def _generation(
    body: Mapping[str, Any],
    max_tokens: int,
    sampling: Sampling,
    vocabulary_size: int,
    show_special: bool,
) -> Generation:
    stop_tokens = body.get("stop_token_ids") or []
    if not isinstance(stop_tokens, list):
        raise BadRequest("stop_token_ids must be a list of token ids", "stop_token_ids")
    return Generation(
        max_tokens=max_tokens,
        sampling=sampling,
        stop=_stop(body.get("stop")),
        stop_tokens=frozenset(_tokens(stop_tokens, "stop_token_ids", vocabulary_size)),
        show_special=show_special,
    )


def _sampling(body: Mapping[str, Any], temperature: float, top_p: float) -> Sampling:
    seed = body.get("seed")
    return Sampling(
        temperature=_real(body, "temperature", 0, 5, temperature),
        top_p=_real(body, "top_p", 0, 1, top_p),
        top_k=_whole(body, "top_k", 0, Sampling().top_k),
        seed=None if seed is None else _whole(body, "seed", None, 0),
    )


def _delivery(body: Mapping[str, Any]) -> Delivery:
    options = body.get("stream_options") or {}
    if not isinstance(options, Mapping):
        raise BadRequest("stream_options must be an object", "stream_options")
    return Delivery(_flag(body, "stream"), _flag(options, "include_usage"))


def _stop(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadRequest("stop must be a string or a list of strings", "stop")
    if len(texts) > _MOST_STOPS or any(len(text) > _LONGEST_STOP for text in texts):
        raise BadRequest(
            f"stop takes at most {_MOST_STOPS} strings of {_LONGEST_STOP} characters", "stop"
        )
    return tuple(texts)


def _tokens(value: list[Any], name: str, vocabulary_size: int) -> list[int]:
    for token in value:
        if type(token) is not int or not 0 <= token < vocabulary_size:
            raise BadRequest(f"{name} has an item that is no token id of this model", name)
    return value


def _check_message(message: Any) -> None:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise BadRequest("each message must be an object with a role", "messages")
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
                raise BadRequest("this model reads text parts only", "messages")
    elif content is not None and not isinstance(content, str):
        raise BadRequest("the content of a message must be text", "messages")
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list) or not all(
        isinstance(call, Mapping) and isinstance(call.get("function"), Mapping) for call in calls
    ):
        raise BadRequest("tool_calls must be a list of calls with a function", "messages")


def _refuse_unsupported(body: Mapping[str, Any]) -> None:
    for name in ("n", "best_of"):
        if body.get(name) not in (None, 1):
            raise BadRequest(f"this host gives one answer at a time; leave {name} at 1", name)
    if body.get("echo"):
        raise BadRequest("this host does not echo the prompt", "echo")


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false", name)
    return bool(value)


def _whole(body: Mapping[str, Any], name: str, low: int | None, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if type(value) is not int or (low is not None and value < low):
        least = "" if low is None else f", {low} or more"
        raise BadRequest(f"{name} must be a whole number{least}", name)
    return value


def _real(body: Mapping[str, Any], name: str, low: float, high: float, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise BadRequest(f"{name} must be a number from {low:g} to {high:g}", name)
    return float(value)
