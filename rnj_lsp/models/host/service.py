"""The model behind the HTTP routes: loaded once, then asked by one request at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rnj_lsp.models.host.chat import Chat
from rnj_lsp.models.host.engine import Abort, Engine, Generation, Piece
from rnj_lsp.models.host.idle import Idle
from rnj_lsp.models.host.loading import EngineOptions
from rnj_lsp.models.host.probe import ProbeResult, fast_setting
from rnj_lsp.models.model import HostFailed, ModelError, Unsupported

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Condition:
    """How far the model is."""

    state: Literal["loading", "ready", "failed"]
    message: str = ""
    """What is being done, or why it failed: a sentence for the user."""

    percent: int | None = None


class Service:
    """One model file: `load` it, `stream` answers from it, `close` it.

    Requests are served one at a time, first come first served, and all native work happens on
    one thread. Whoever stops iterating an answer ends its generation at once.
    """

    def __init__(self, model: Path, options: EngineOptions, idle: Idle) -> None:
        self.model = model
        self.idle = idle
        self.condition = Condition("loading", "the model host is starting")
        self.engine_now: Engine | None = None
        """The engine once it is loaded."""

        self.probe: ProbeResult | None = None
        self.waiting = 0
        """Requests in the queue, the one being answered not counted."""

        self._options = options
        self._chat: Chat | Unsupported = Unsupported("no model is loaded")
        self._loaded = asyncio.Event()
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "llama.cpp")
        self._loop = asyncio.get_running_loop()
        self._abort: Abort | None = None
        self._closing = False

    async def load(self) -> None:
        """Load the model, or leave the reason why not in `condition`."""
        try:
            with self.idle.in_use():
                trying = "trying the fast setting in a process of its own"
                self._show(trying, None)
                self.probe = await fast_setting(
                    self.model, lambda percent: self._show(trying, percent)
                )
                options = replace(self._options, extra_buffers=self.probe.extra_buffers)
                self._show("loading the model", 0)
                self.engine_now = await self._loop.run_in_executor(
                    self._thread, self._open, options
                )
            self.condition = Condition("ready", "", 100)
        except ModelError as error:
            _logger.error("the model cannot be loaded: %s", error)
            self.condition = Condition("failed", str(error))
        finally:
            self._loaded.set()

    async def engine(self) -> Engine:
        """Return the engine after waiting until it is loaded; raises `HostFailed`."""
        await self._loaded.wait()
        if self.engine_now is None:
            raise HostFailed(self.condition.message)
        return self.engine_now

    @property
    def chats(self) -> bool:
        """Whether the loaded model has a chat template that works."""
        return isinstance(self._chat, Chat)

    def chat(self) -> Chat:
        """Return the loaded model's chat template; raises `Unsupported` where it has none."""
        if isinstance(self._chat, Unsupported):
            raise self._chat
        return self._chat

    async def stream(self, prompt: list[int], request: Generation) -> AsyncGenerator[Piece, None]:
        """Stream an answer once its turn has come; iterate it inside `aclosing`."""
        engine = await self.engine()
        with self.idle.in_use():
            async with self._my_turn():
                pieces: asyncio.Queue[Piece | None] = asyncio.Queue()
                abort = self._abort = Abort()
                work = self._loop.run_in_executor(
                    self._thread, self._generate, engine, prompt, request, abort, pieces
                )
                work.add_done_callback(lambda _: pieces.put_nowait(None))
                try:
                    while (piece := await pieces.get()) is not None:
                        yield piece
                    await work
                finally:
                    if not work.done():
                        abort.set()
                        # The engine must be let go before the next request has its turn.
                        await asyncio.wait({work})

    async def close(self) -> None:
        """End the loading or the answer in progress, and free the model."""
        self._closing = True
        if self._abort is not None:
            self._abort.set()
        await asyncio.to_thread(self._thread.shutdown)
        if self.engine_now is not None:
            self.engine_now.close()

    @asynccontextmanager
    async def _my_turn(self) -> AsyncIterator[None]:
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1
        try:
            if self._closing:
                raise HostFailed("the model host is leaving")
            yield
        finally:
            self._turn.release()

    def _open(self, options: EngineOptions) -> Engine:
        engine = Engine.open(self.model, options, self._progressed)
        try:
            self._chat = Chat(engine.facts.chat_template, engine.vocabulary)
        except Unsupported as error:
            self._chat = error
        return engine

    def _generate(
        self,
        engine: Engine,
        prompt: list[int],
        request: Generation,
        abort: Abort,
        pieces: asyncio.Queue[Piece | None],
    ) -> None:
        for piece in engine.generate(prompt, request, abort):
            self._loop.call_soon_threadsafe(pieces.put_nowait, piece)

    def _progressed(self, percent: int) -> bool:
        self._loop.call_soon_threadsafe(self._show, "loading the model", percent)
        return not self._closing

    def _show(self, message: str, percent: int | None) -> None:
        if self.condition.state == "loading":
            self.condition = Condition("loading", message, percent)
