"""A client on the fault server, with a clock that tests move and short patience."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from rnj_lsp.models.client import OpenAIModel, Patience
from rnj_lsp.models.endpoint import Address, Endpoint, FixedEndpoint
from rnj_lsp.models.model import (
    Chunk,
    CompletionRequest,
    Model,
    ModelError,
    ModelInfo,
    ModelState,
)
from rnj_lsp.models.wire import Timeouts
from tests.support.fault_server import FaultServer

KEY = "sk-secret-key-of-the-test"

PATIENT = Patience(Timeouts(20.0, 20.0, 20.0), Timeouts(20.0, 20.0, 20.0))
HASTY = Patience(Timeouts(1.0, 0.6, 9.0), Timeouts(1.0, 0.6, 9.0))
"""For tests of time limits: they are expected to run out."""

INFO = ModelInfo(
    name="",
    where="the test server",
    family="unknown",
    local=False,
    fills=True,
    chats=True,
    context_tokens=8192,
)


@dataclass
class Remote:
    """A model and what it told the user."""

    model: OpenAIModel
    states: list[ModelState]
    now: list[float] = field(default_factory=lambda: [0.0])
    """One number: the time in seconds."""

    @property
    def kinds(self) -> list[str]:
        """The kinds of the states told so far."""
        return [state.kind for state in self.states]

    async def fill(self, prefix: str = "def f(", suffix: str = "):\n") -> str:
        """Return the middle."""
        return await middle(self.model, prefix, suffix)

    async def failure(self) -> ModelError:
        """Return the error of a completion that must fail."""
        try:
            text = await self.fill()
        except ModelError as error:
            return error
        raise AssertionError(f"the completion did not fail but gave {text!r}")


@asynccontextmanager
async def remote(
    at: FaultServer | Endpoint,
    model_name: str = "EssentialAI/rnj-1-instruct",
    patience: Patience = PATIENT,
) -> AsyncIterator[Remote]:
    """Open a model on the server and close it afterwards."""
    endpoint = FixedEndpoint(Address(at.base_url, KEY)) if isinstance(at, FaultServer) else at
    states: list[ModelState] = []
    now = [0.0]
    model = OpenAIModel(
        endpoint, model_name, INFO, states.append, patience=patience, clock=lambda: now[0]
    )
    try:
        yield Remote(model, states, now)
    finally:
        await model.close()


async def middle(model: Model, prefix: str, suffix: str | None, stop: tuple[str, ...] = ()) -> str:
    """Return the whole answer to a completion."""
    request = CompletionRequest(prefix, suffix, max_tokens=64, stop=stop)
    return "".join([chunk.text for chunk in await whole(model.complete(request))])


async def whole(answer: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    """Return all chunks of an answer; the last one, and only it, has a finish reason."""
    async with aclosing(answer):
        chunks = [chunk async for chunk in answer]
    assert [chunk.finish is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    return chunks
