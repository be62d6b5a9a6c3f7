"""Answers in OpenAI's shapes."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from rnj_lsp.models.host.bodies import Delivery
from rnj_lsp.models.host.engine import Piece
from rnj_lsp.models.model import ModelError, Usage


@dataclass(frozen=True, slots=True)
class Shape:
    """One answer's identity and form."""

    kind: Literal["completion", "chat"]
    model: str
    id: str = field(default_factory=lambda: f"rnj-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, finish: str | None, usage: Usage) -> dict[str, Any]:
        """Return the answer that is sent in one piece."""
        if self.kind == "chat":
            choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
        else:
            choice = {"text": text}
        name = "chat.completion" if self.kind == "chat" else "text_completion"
        return self._around(name, [_choice(choice, finish)]) | {"usage": _usage_json(usage)}

    def chunk(self, text: str, finish: str | None, first: bool) -> dict[str, Any]:
        """Return a part of the answer."""
        if self.kind == "chat":
            delta = ({"role": "assistant"} if first else {}) | ({"content": text} if text else {})
            choice: dict[str, Any] = {"delta": delta}
        else:
            choice = {"text": text}
        return self._around(self._chunk_name, [_choice(choice, finish)])

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the last part of the answer, which only counts tokens."""
        return self._around(self._chunk_name, []) | {"usage": _usage_json(usage)}

    @property
    def _chunk_name(self) -> str:
        return "chat.completion.chunk" if self.kind == "chat" else "text_completion"

    def _around(self, name: str, choices: list[Any]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": name,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


async def answer(pieces: AsyncGenerator[Piece, None], shape: Shape, delivery: Delivery) -> Response:
    """Return the response that delivers these pieces, at once or as a stream."""
    if delivery.stream:
        return EventStream(_events(pieces, shape, delivery.usage))
    texts = list[str]()
    last = Piece()
    async with aclosing(pieces):
        async for last in pieces:
            texts.append(last.text)
    return JSONResponse(shape.whole("".join(texts), last.finish, last.usage))


class EventStream(Response):
    """A stream of server-sent events; its source is closed with it, however it ends."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"content-type": "text/event-stream", "cache-control": "no-store"})
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events as they come."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        async with aclosing(self._events) as events:
            await send(start)
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _events(
    pieces: AsyncGenerator[Piece, None], shape: Shape, usage: bool
) -> AsyncGenerator[bytes, None]:
    first = True
    last = Piece()
    try:
        async with aclosing(pieces):
            async for last in pieces:
                chunk = shape.chunk(last.text, last.finish, first)
                # Whoever stops reading early never sees the last chunk, so each one counts.
                yield _event(chunk | {"usage": _usage_json(last.usage)} if usage else chunk)
                first = False
    except ModelError as error:
        yield _event({"error": {"message": str(error), "type": "server_error", "code": None}})
        return
    if usage:
        yield _event(shape.usage(last.usage))
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _choice(choice: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, **choice, "logprobs": None, "finish_reason": finish}


def _usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
