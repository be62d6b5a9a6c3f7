"""Suggestions for one model: from the cache, or from the model, the newest request first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from rnj_lsp.completion.cache import Cache, Hit
from rnj_lsp.completion.cut import Cut
from rnj_lsp.completion.extent import extent_at
from rnj_lsp.completion.policy import refusal
from rnj_lsp.completion.postprocess import Draft, postprocess, repeat
from rnj_lsp.completion.prompt import Window, prompt
from rnj_lsp.completion.suggestion import (
    Extent,
    Outcome,
    Place,
    Reason,
    Suggestion,
    Trigger,
)
from rnj_lsp.models.model import (
    CompletionRequest,
    Model,
    ModelError,
    ModelTimeout,
    PromptTooLong,
    Usage,
)
from rnj_lsp.settings import CompletionSettings
from rnj_lsp.source.document import Span

_LOAD_S = 120.0
"""Seconds to wait for a model that is still loading; a newer request ends the wait sooner."""

_ANSWER_S = 60.0
"""Seconds for one answer. What a slow machine has read by then stays in its KV cache."""

_LINE_TOKENS = 64
"""The most tokens for the rest of one line."""

_CHARS_PER_TOKEN = 3.0
"""Of code, to begin with; the model's own counts replace it."""

_SHRINKS = 3
"""How often a prompt that does not fit is made smaller before giving up."""


@dataclass(slots=True)
class _State:
    """What is kept of one open document between requests."""

    window: Window | None = None
    chars_per_token: float = _CHARS_PER_TOKEN
    running: asyncio.Task[Outcome] | None = None


@dataclass(slots=True)
class _Answer:
    """What the model wrote for one request."""

    text: str = ""
    usage: Usage = field(default_factory=Usage)
    first_text_ms: float | None = None


class Session:
    """Gives suggestions with one model; `close` ends what is running.

    For each document only the newest request lives: a newer one ends the older one, whose
    caller gets an outcome that says so. Cancelling the caller ends the model's work, too.
    """

    def __init__(
        self,
        model: Model,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._cache = Cache()
        self._states: dict[str, _State] = {}
        self._sleep = sleep
        self._clock = clock

    async def suggest(
        self, place: Place, trigger: Trigger, settings: CompletionSettings
    ) -> Outcome:
        """Return a suggestion for a place, or none with the reason. Never raises a `ModelError`."""
        began = self._clock()
        reason = refusal(place, trigger, settings)
        if reason is not None:
            return Outcome(None, reason, total_ms=self._since(began))
        hit = self._cache.find(place)
        if hit is not None:
            return replace(_from_cache(hit, place), total_ms=self._since(began))
        outcome = await self._newest(place, trigger, settings)
        return replace(outcome, total_ms=self._since(began))

    def forget(self, uri: str) -> None:
        """Drop everything about a document that was closed, and end its request."""
        self._cache.forget(uri)
        state = self._states.pop(uri, None)
        if state is not None and state.running is not None:
            state.running.cancel()

    def settings_changed(self) -> None:
        """Drop the answers that other settings would have made different."""
        self._cache.clear()

    async def close(self) -> None:
        """End every request."""
        running = [state.running for state in self._states.values() if state.running]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._states.clear()

    async def _newest(
        self, place: Place, trigger: Trigger, settings: CompletionSettings
    ) -> Outcome:
        state = self._states.setdefault(place.document.uri, _State())
        if state.running is not None:
            state.running.cancel()
        task = asyncio.create_task(self._ask(state, place, trigger, settings))
        state.running = task
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            if state.running is task:
                state.running = None
        return Outcome(None, Reason.SUPERSEDED) if task.cancelled() else task.result()

    async def _ask(
        self, state: _State, place: Place, trigger: Trigger, settings: CompletionSettings
    ) -> Outcome:
        """Wait a moment, ask the model, and filter what it says."""
        if trigger is Trigger.AUTOMATIC and settings.debounce_ms:
            await self._sleep(settings.debounce_ms / 1000)
        extent = extent_at(place.document, place.offset, settings.multiline)
        try:
            async with asyncio.timeout(_LOAD_S):
                await self._model.ready()
            if not self._model.info.fills:
                return Outcome(None, Reason.CANNOT_FILL, self._model.info.name)
            async with asyncio.timeout(_ANSWER_S):
                answer = await self._answer(state, place, extent, settings)
        except PromptTooLong as error:
            return Outcome(None, Reason.NOTHING_FITS, str(error))
        except ModelTimeout as error:
            return Outcome(None, Reason.TOO_SLOW, str(error))
        except TimeoutError:
            return Outcome(None, Reason.TOO_SLOW, self._model.info.name)
        except ModelError as error:
            return Outcome(None, Reason.MODEL_FAILED, str(error))
        outcome = _outcome(place, answer)
        text = outcome.suggestion.text if outcome.suggestion else ""
        self._cache.put(place, text, outcome.reason)
        return outcome

    async def _answer(
        self, state: _State, place: Place, extent: Extent, settings: CompletionSettings
    ) -> _Answer:
        """Stream an answer and cut it; a prompt that does not fit is made smaller."""
        window_tokens = self._model.info.context_tokens
        answer_tokens = min(settings.max_tokens, window_tokens // 5)
        if extent is Extent.ONE_LINE:
            answer_tokens = min(answer_tokens, _LINE_TOKENS)
        room = min(settings.context_tokens, window_tokens - answer_tokens - _FRAME_TOKENS)
        for attempt in range(_SHRINKS + 1):
            asked = prompt(place, int(room * state.chars_per_token), state.window)
            state.window = asked.window
            # Where only this line is wanted, the model can stop by itself.
            stop = ("\n",) if extent is Extent.ONE_LINE else ()
            request = CompletionRequest(asked.prefix, asked.suffix, answer_tokens, stop)
            try:
                answer = await self._stream(request, Cut(place.document, place.offset, extent))
            except PromptTooLong as error:
                if attempt == _SHRINKS:
                    raise
                state.chars_per_token *= _shrink(error)
                state.window = None
            else:
                length = len(asked.prefix) + len(asked.suffix)
                if answer.usage.prompt_tokens > _COUNTS_FROM:
                    measured = length / answer.usage.prompt_tokens
                    state.chars_per_token = min(_MOST_CHARS, measured * _CAUTION)
                return answer
        raise AssertionError("the last attempt returns or raises")

    async def _stream(self, request: CompletionRequest, cut: Cut) -> _Answer:
        answer, began = _Answer(), self._clock()
        async with aclosing(self._model.complete(request)) as chunks:
            async for chunk in chunks:
                if chunk.text and answer.first_text_ms is None:
                    answer.first_text_ms = self._since(began)
                if chunk.usage.prompt_tokens >= 0:
                    answer.usage = chunk.usage
                if cut.feed(chunk.text):
                    break
        answer.text = cut.finish()
        return answer

    def _since(self, began: float) -> float:
        return (self._clock() - began) * 1000


_FRAME_TOKENS = 24
"""For the special tokens and the line with the file's name."""

_COUNTS_FROM = 100
"""Prompt tokens from which the ratio of characters to tokens tells something."""

_MOST_CHARS = 4.5
_CAUTION = 0.92
"""The next text may be denser than the last one."""


def _shrink(error: PromptTooLong) -> float:
    """Return the factor by which the prompt must shrink, with some to spare."""
    if error.prompt_tokens and error.limit_tokens:
        return min(0.9, 0.85 * error.limit_tokens / error.prompt_tokens)
    return 0.6


def _outcome(place: Place, answer: _Answer) -> Outcome:
    draft = postprocess(Draft(place.document, place.offset, answer.text))
    outcome = Outcome(
        suggestion=None,
        usage=answer.usage,
        first_text_ms=answer.first_text_ms,
    )
    if isinstance(draft, Reason):
        return replace(outcome, reason=draft)
    here = Span(place.offset, place.offset)
    return replace(outcome, suggestion=Suggestion(draft.text, here, cached=False))


def _from_cache(hit: Hit, place: Place) -> Outcome:
    if hit.reason is not None:
        return Outcome(None, hit.reason)
    draft = repeat(Draft(place.document, place.offset, hit.text))
    if isinstance(draft, Reason):
        return Outcome(None, draft)
    return Outcome(Suggestion(draft.text, Span(place.offset, place.offset), cached=True))
