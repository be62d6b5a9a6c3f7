"""A model that answers from a list, chosen like any other: for tests and demonstrations.

A script is a TOML or JSON file:

    name = "demo"

    [[completion]]
    prefix_ends = "return "   # or: prefix_matches = 'a regular expression'
    text = "a + b"
    piece_characters = 3      # how much comes at once; 0: all
    delay_s = 0.05            # before each piece

    [[completion]]            # without a condition: the next request that nothing else matches
    text = "x ="
    error = "ModelBroken"     # after the text: any `ModelError`, or "hang"

    [[chat]]
    user_matches = "rename"
    text = "I rename it."
    tool_calls = [{ name = "edit", arguments = { path = "a.py" } }]
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import tomllib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from rnj_lsp.models.cut import Cutter
from rnj_lsp.models.model import (
    ChatRequest,
    Chunk,
    CompletionRequest,
    ModelError,
    ModelInfo,
    ModelNotFound,
    ModelRefused,
    ModelState,
    OnState,
    RateLimited,
    TokenCount,
    ToolCall,
    Usage,
)

CHARACTERS_PER_TOKEN = 4
"""What a token is to a scripted model, exactly."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a script."""

    text: str = ""
    prefix_ends: str = ""
    """Answers completions whose prefix ends so."""

    prefix_matches: str = ""
    """Answers completions in whose prefix this regular expression is found."""

    user_matches: str = ""
    """Answers chats in whose last turn this regular expression is found."""

    times: int = 0
    """How often it is given; 0: always with a condition, once without."""

    piece_characters: int = 0
    delay_s: float = 0.0
    error: str = ""
    """The name of a `ModelError`, raised after the text; or `hang`: nothing more ever comes."""

    message: str = "the script says so"
    retry_after_s: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def conditional(self) -> bool:
        """It waits for a certain request."""
        return bool(self.prefix_ends or self.prefix_matches or self.user_matches)


@dataclass(frozen=True, slots=True)
class Script:
    """Everything a scripted model has to say."""

    completion: tuple[Answer, ...] = ()
    chat: tuple[Answer, ...] = ()
    name: str = "scripted"
    family: str = "unknown"
    fills: bool = True
    chats: bool = True
    starter: bool = False
    context_tokens: int = 8192


class ScriptedModel:
    """A `Model` whose answers are known in advance; it records what it was asked."""

    def __init__(
        self,
        script: Script,
        on_state: OnState,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._script = script
        self._on_state = on_state
        self._sleep = sleep
        self._used: dict[int, int] = {}
        self._told = ""
        self.completions: list[CompletionRequest] = []
        """Every completion that was asked for, oldest first."""

        self.chats: list[ChatRequest] = []
        self.abandoned = 0
        """How many answers were closed or cancelled before their end."""

        self.closed = False

    @property
    def info(self) -> ModelInfo:
        """What the script says of the model."""
        script = self._script
        return ModelInfo(
            name=script.name,
            where="a script",
            family=script.family,
            local=True,
            fills=script.fills,
            chats=script.chats,
            context_tokens=script.context_tokens,
            starter=script.starter,
        )

    async def ready(self) -> None:
        """Return at once."""
        self._tell("ready", "the scripted model answers")

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the answer that the script has for this prefix."""
        self.completions.append(request)
        answer = self._next(self._script.completion, request.prefix)
        given = self._given(answer, request.prefix, request.stop, request.max_tokens)
        async with aclosing(given) as chunks:
            async for chunk in chunks:
                yield chunk

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the answer that the script has for the last turn."""
        self.chats.append(request)
        last = request.messages[-1].content if request.messages else ""
        answer = self._next(self._script.chat, last)
        given = self._given(answer, last, request.stop, request.max_tokens)
        async with aclosing(given) as chunks:
            async for chunk in chunks:
                yield chunk

    async def count_tokens(self, text: str) -> TokenCount:
        """Return a token for every four characters."""
        return TokenCount(_tokens(text), exact=True)

    async def close(self) -> None:
        """Take note of it."""
        self.closed = True

    def _next(self, answers: tuple[Answer, ...], asked: str) -> Answer:
        """Return the first answer whose condition holds, else the next one without."""
        for conditional in (True, False):
            for answer in answers:
                limit = answer.times or (math.inf if conditional else 1)
                if (
                    answer.conditional == conditional
                    and self._used.get(id(answer), 0) < limit
                    and _fits(answer, asked)
                ):
                    self._used[id(answer)] = self._used.get(id(answer), 0) + 1
                    return answer
        return Answer(error="ModelBroken", message="the script has no answer for this request")

    async def _given(
        self, answer: Answer, asked: str, stop: tuple[str, ...], max_tokens: int
    ) -> AsyncGenerator[Chunk, None]:
        cutter, left = Cutter(stop), max_tokens * CHARACTERS_PER_TOKEN
        usage = Usage(_tokens(asked), 0, min(max_tokens, _tokens(answer.text)))
        ended = False
        try:
            for piece in _pieces(answer):
                if answer.delay_s:
                    await self._sleep(answer.delay_s)
                text = cutter.feed(piece)[:left]
                left -= len(text)
                if text:
                    self._tell("ready", "the scripted model answers")
                    yield Chunk(text, usage=usage)
                if cutter.done or not left:
                    break
            if answer.error and left and not cutter.done:
                await self._fail(answer)
            rest = cutter.flush()[:left]
            ended = True
            if answer.tool_calls:
                yield Chunk(rest, answer.tool_calls, "tool_calls", usage)
            elif len(rest) == left:
                yield Chunk(rest, finish="length", usage=usage)
            else:
                yield Chunk(rest, finish="stop", usage=usage)
        except ModelError as error:
            ended = True
            self._tell("unreachable", str(error))
            raise
        finally:
            self.abandoned += not ended

    async def _fail(self, answer: Answer) -> None:
        if answer.error == "hang":
            await asyncio.Event().wait()
        if answer.error == RateLimited.__name__:
            raise RateLimited(answer.message, answer.retry_after_s)
        raise _errors()[answer.error](answer.message)

    def _tell(self, kind: Literal["ready", "unreachable"], message: str) -> None:
        if kind != self._told:
            self._told = kind
            self._on_state(ModelState(kind, message))


def load_script(path: Path) -> Script:
    """Return the script in a TOML or JSON file; raises `ModelNotFound` or `ModelRefused`."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelNotFound(f"the script {path} cannot be read: {error}") from error
    try:
        raw = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ModelRefused(f"the script {path} is not valid: {error}") from error
    try:
        return _script(raw)
    except (TypeError, ValueError, KeyError, re.error) as error:
        raise ModelRefused(f"the script {path} is not valid: {error}") from error


def _script(raw: Any) -> Script:
    values = _known(raw, Script)
    for part in ("completion", "chat"):
        values[part] = tuple(_answer(item) for item in values.get(part, ()))
    return Script(**values)


def _answer(raw: Any) -> Answer:
    values = _known(raw, Answer)
    values["tool_calls"] = tuple(
        ToolCall(
            id=str(call.get("id", f"call_{number}")),
            name=str(call["name"]),
            arguments=_arguments(call.get("arguments", {})),
        )
        for number, call in enumerate(values.get("tool_calls", ()))
    )
    error = values.get("error", "")
    if error not in ("", "hang", *_errors()):
        raise ValueError(f"there is no error {error!r}; there are {', '.join(_errors())} and hang")
    for name in ("prefix_matches", "user_matches"):
        re.compile(values.get(name, ""))
    return Answer(**values)


def _known(raw: Any, kind: type[Any]) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise TypeError(f"{raw!r} is not a table")
    names = {item.name for item in fields(kind)}
    unknown = sorted(set(raw) - names)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not known; there are {', '.join(sorted(names))}")
    return dict(raw)


def _arguments(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _errors() -> dict[str, type[ModelError]]:
    """Return every error of the tree by its name."""
    found: dict[str, type[ModelError]] = {}
    waiting: list[type[ModelError]] = [ModelError]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return found


def _fits(answer: Answer, asked: str) -> bool:
    if not asked.endswith(answer.prefix_ends):
        return False
    patterns = (answer.prefix_matches, answer.user_matches)
    return all(re.search(pattern, asked) for pattern in patterns if pattern)


def _pieces(answer: Answer) -> list[str]:
    size = answer.piece_characters or len(answer.text) or 1
    return [answer.text[at : at + size] for at in range(0, len(answer.text), size)]


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
