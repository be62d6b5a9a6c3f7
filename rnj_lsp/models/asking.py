"""One question to an endpoint: the request in its words, and how to read the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from rnj_lsp.models.answers import Calls, Piece, chat_piece, completion_piece
from rnj_lsp.models.catalog import Family
from rnj_lsp.models.cut import Cutter, Stages
from rnj_lsp.models.dialect import Dialect, Form
from rnj_lsp.models.infill_chat import Unwrapper, infill_chat
from rnj_lsp.models.model import (
    ChatRequest,
    Chunk,
    CompletionRequest,
    ModelError,
    Usage,
)
from rnj_lsp.models.neutral import Neutraliser, Restorer
from rnj_lsp.models.openai_errors import StreamCut
from rnj_lsp.models.wire import Timeouts, Wire

AFTER_FINISH_S = 1.0
"""How long the end of a stream may take once the answer is complete."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and how to read what comes back."""

    path: str
    body: Mapping[str, Any]
    read: Callable[[Mapping[str, Any], str], Piece]
    stages: Stages
    """What the text goes through; used up by one answer."""

    restore_json: Callable[[str], str] = str
    """Makes the arguments of tool calls what they would be without neutralising."""


def ask_hole(
    dialect: Dialect, model: str, family: Family | None, form: Form, request: CompletionRequest
) -> Asked:
    """Return the question for a middle, or for the continuation of a raw prompt.

    Our own host (form `host`) tokenizes user text without special parsing and stops by itself.
    Every other endpoint gets neutralised text and has its answer cut at literal end tokens.
    """
    if form == "host":
        body = dialect.completion(model, request, request.prefix, request.suffix)
        return Asked("/completions", body, completion_piece, Stages(Cutter(request.stop)))
    fim = family.fim if family is not None else None
    if form == "raw":
        ends = _ends(family)
        body = dialect.completion(model, request, request.prefix, None, *_told_ends(family))
        stages = Stages(Cutter(ends), Cutter(request.stop))
        return Asked("/completions", body, completion_piece, stages)
    neutral = Neutraliser(family)
    prefix, suffix = neutral.hide(request.prefix), neutral.hide(request.suffix or "")
    if form == "chat":
        chat = infill_chat(replace(request, prefix=prefix, suffix=suffix))
        body = dialect.chat(model, chat, family)
        stages = Stages(Unwrapper(prefix), Restorer(neutral), Cutter(request.stop))
        return Asked("/chat/completions", body, chat_piece, stages)
    stages = Stages(Cutter(_ends(family)), Restorer(neutral), Cutter(request.stop))
    if form == "tokens" and fim is not None:
        prompt = fim.text(prefix, suffix)
        body = dialect.completion(model, request, prompt, None, *_told_ends(family))
    else:
        body = dialect.completion(model, request, prefix, suffix)
    return Asked("/completions", body, completion_piece, stages)


def ask_turn(
    dialect: Dialect, model: str, family: Family | None, own_host: bool, request: ChatRequest
) -> Asked:
    """Return the question for the next assistant turn."""
    if own_host:
        body = dialect.chat(model, request, family)
        return Asked("/chat/completions", body, chat_piece, Stages(Cutter(request.stop)))
    neutral = Neutraliser(family)
    messages = tuple(
        replace(
            message,
            content=neutral.hide(message.content),
            tool_calls=tuple(
                replace(call, arguments=neutral.hide(call.arguments)) for call in message.tool_calls
            ),
        )
        for message in request.messages
    )
    body = dialect.chat(model, replace(request, messages=messages), family)
    stages = Stages(Restorer(neutral), Cutter(request.stop))
    return Asked("/chat/completions", body, chat_piece, stages, neutral.restore_json)


async def pieces(wire: Wire, asked: Asked, timeouts: Timeouts) -> AsyncGenerator[Piece, None]:
    """Stream the pieces of the answer as they come."""
    async with aclosing(wire.events(asked.path, asked.body, timeouts)) as events:
        async for event in events:
            yield asked.read(event, wire.where)


async def chunks(
    answer: AsyncGenerator[Piece, None], asked: Asked, where: str
) -> AsyncGenerator[Chunk, None]:
    """Stream the answer, cut and restored; the last chunk says why it ended."""
    calls, usage, finish = Calls(), Usage(), None
    async for piece in answer:
        calls.add(piece.calls)
        usage = piece.usage or usage
        finish = piece.finish
        text = asked.stages.feed(piece.text)
        if asked.stages.done:
            yield Chunk(text + asked.stages.flush(), finish="stop", usage=usage)
            return
        if text:
            yield Chunk(text, usage=usage)
        if finish is not None:
            break
    if finish is None:
        raise StreamCut(f"{where} ended its answer in the middle")
    usage = await _last_usage(answer) or usage
    whole = tuple(
        replace(call, arguments=asked.restore_json(call.arguments)) for call in calls.done()
    )
    yield Chunk(asked.stages.flush(), whole, "tool_calls" if whole else finish, usage)


async def _last_usage(answer: AsyncGenerator[Piece, None]) -> Usage | None:
    """Read to the end, where the usage is, so that the connection can be used again.

    The answer is complete: whatever goes wrong now does not matter any more.
    """
    usage = None
    try:
        async with asyncio.timeout(AFTER_FINISH_S):
            async for piece in answer:
                usage = piece.usage or usage
    except (ModelError, TimeoutError):
        pass
    return usage


def _ends(family: Family | None) -> tuple[str, ...]:
    """Return the literal texts at which an answer is cut.

    The user's own literals came to the model neutralised, so a bare one is the model's end. The
    tokens of a layout are ends, too: behind one the model has begun another document.
    """
    if family is None:
        return ()
    fim = family.fim
    return (*((*fim.ends, *fim.specials) if fim else ()), *family.ends)


def _told_ends(family: Family | None) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the stop strings and ids that an endpoint is told."""
    if family is None or family.fim is None:
        return (), ()
    return family.fim.ends, family.stop_ids
