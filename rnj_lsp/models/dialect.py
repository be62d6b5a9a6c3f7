"""What one endpoint understands, learned from what it refuses, and requests in its words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from rnj_lsp.models.catalog import Family
from rnj_lsp.models.model import ChatRequest, CompletionRequest, Message

MOST_STOPS = 4
"""vLLM, OpenAI and others refuse more stop strings."""

Form = Literal["host", "suffix", "tokens", "raw", "chat"]
"""How a completion is asked for: of our own host, with OpenAI's `suffix`, with the model's own
tokens in the prompt, as the caller's raw prompt, or by chat."""


class Dialect:
    """What an endpoint was found to understand. It only ever learns to ask for less."""

    def __init__(self) -> None:
        self.form: Form | None = None
        """How holes are asked for here, once another form than the first was needed."""

        self._refused: set[str] = set()

    def hole_form(self, family: Family | None) -> Form:
        """Return how to ask for a middle."""
        knows_tokens = family is not None and family.fim is not None
        return self.form or ("tokens" if knows_tokens else "suffix")

    def completion(
        self,
        model: str,
        request: CompletionRequest,
        prompt: str,
        suffix: str | None,
        ends: Iterable[str] = (),
        stop_ids: tuple[int, ...] = (),
    ) -> dict[str, Any]:
        """Return the body for `/completions`; the caller cuts at `ends` and stops as well."""
        body: dict[str, Any] = {
            "model": model,
            "prompt": prompt,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "stop": _stops(request.stop, ends),
            "stop_token_ids": list(stop_ids),
            **_STREAMED,
        }
        if suffix is not None:
            body["suffix"] = suffix
        return self._understood(body)

    def chat(self, model: str, request: ChatRequest, family: Family | None) -> dict[str, Any]:
        """Return the body for `/chat/completions`."""
        sampling = family.sampling if family is not None else None
        body: dict[str, Any] = {
            "model": model,
            "messages": [_message(message) for message in request.messages],
            "max_tokens": request.max_tokens,
            "stop": _stops(request.stop, ()),
            "tools": [dict(tool) for tool in request.tools],
            **_STREAMED,
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        elif sampling is not None:
            body |= {"temperature": sampling.temperature, "top_p": sampling.top_p}
        return self._understood(body)

    def learn(self, detail: str, body: Mapping[str, Any]) -> bool:
        """Return whether the endpoint's words name something that can be left out next time."""
        for name in _OPTIONAL:
            if (
                name in body
                and name not in self._refused
                and _names(detail, _BETTER.get(name, name))
            ):
                self._refused.add(name)
                return True
        return False

    def _understood(self, body: dict[str, Any]) -> dict[str, Any]:
        body = {key: value for key, value in body.items() if value not in ([], None)}
        for name in self._refused & body.keys():
            value = body.pop(name)
            if name in _BETTER:
                body[_BETTER[name]] = value
        return body


def names_suffix(detail: str) -> bool:
    """Return whether a refusal is about OpenAI's `suffix`, or Ollama's word for it."""
    return _names(detail, "suffix") or "does not support insert" in detail


_STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}

_OPTIONAL = ("stop_token_ids", "stream_options", "top_p", "temperature", "max_tokens", "stop")
"""What a request can do without: usage is nice to know, and every stop is cut here as well."""

_BETTER = {"max_tokens": "max_completion_tokens"}
"""Newer names, which a refusal of the older one tells."""


def _names(detail: str, name: str) -> bool:
    return re.search(rf"(?<![a-z_]){name}(?![a-z_])", detail, re.IGNORECASE) is not None


def _stops(wanted: Iterable[str], ends: Iterable[str]) -> list[str]:
    """Return what the endpoint is told to stop at, the caller's own texts first."""
    return [text for text in dict.fromkeys((*wanted, *ends)) if text][:MOST_STOPS]


def _message(message: Message) -> dict[str, Any]:
    out: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        out["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        out["tool_call_id"] = message.tool_call_id
    return out
