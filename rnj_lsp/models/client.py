"""The one client: any OpenAI-compatible endpoint, the own host and remote ones alike, as a `Model`.

What an endpoint cannot do is learned from its refusals and remembered for the life of the model:
OpenAI's `suffix`, raw prompts, stop-token ids, `/tokenize`. Each has a way round it.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace

from rnj_lsp.models.asking import Asked, ask_hole, ask_turn, chunks, pieces
from rnj_lsp.models.catalog import Family, family, family_of_name
from rnj_lsp.models.connection import Connection, Link
from rnj_lsp.models.dialect import Dialect, Form, names_suffix
from rnj_lsp.models.endpoint import Endpoint
from rnj_lsp.models.health import Health
from rnj_lsp.models.model import (
    ChatRequest,
    Chunk,
    CompletionRequest,
    HostFailed,
    KeyRefused,
    ModelError,
    ModelInfo,
    ModelNotFound,
    ModelState,
    ModelUnreachable,
    OnState,
    RateLimited,
    TokenCount,
    Unsupported,
)
from rnj_lsp.models.neutral import Neutraliser
from rnj_lsp.models.ollama import ollama_pieces
from rnj_lsp.models.openai_errors import ConnectionLost, NoSuchPath, RequestRefused, StreamCut
from rnj_lsp.models.served import informed
from rnj_lsp.models.wire import CHAT, COMPLETION, Timeouts

USUAL_REST_S = 5.0
"""How long no request is sent after a 429 that does not say how long."""

CHARACTERS_PER_TOKEN = 3.2
"""Of source code, on the cautious side, where an endpoint cannot count."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each purpose may wait."""

    completion: Timeouts = COMPLETION
    chat: Timeouts = CHAT


class OpenAIModel:
    """A model behind an endpoint. It holds connections: close it."""

    def __init__(
        self,
        endpoint: Endpoint,
        model_name: str,
        info: ModelInfo,
        on_state: OnState,
        *,
        patience: Patience = Patience(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # `model_name` is the endpoint's name for the model; empty: the first that it lists.
        limits = patience.completion
        self._connection = Connection(
            endpoint, info.where, model_name, limits.connect_s, limits.first_s
        )
        self._info = info
        self._family: Family | None = None
        self._patience = patience
        self._clock = clock
        self._health = Health(on_state, f"{info.name or 'the model'} ({info.where})")
        self._dialect = Dialect()
        self._unsupported = ""
        """Why no hole can be filled here; empty until an endpoint without `suffix` is met."""

        self._tokenizes = True
        self._rest_until = -math.inf
        self._rest_reason = ""

    @property
    def info(self) -> ModelInfo:
        """What is known of the model; more after the endpoint was asked."""
        return self._info

    async def ready(self) -> None:
        """Return when the endpoint has said which models it serves."""
        self._refuse_while_resting()
        try:
            await self._linked()
        except ModelError as error:
            self._failed(error)
            raise
        self._health.found()

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the middle, or the continuation of a raw prompt."""
        async with aclosing(self._answer(lambda link: self._middle(link, request))) as answer:
            async for chunk in answer:
                yield chunk

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the next assistant turn."""
        async with aclosing(self._answer(lambda link: self._turn(link, request))) as answer:
            async for chunk in answer:
                yield chunk

    async def count_tokens(self, text: str) -> TokenCount:
        """Return the endpoint's own count, or an estimate where it cannot count."""
        if self._tokenizes and text and self._clock() >= self._rest_until:
            try:
                return TokenCount(await self._counted(await self._linked(), text), exact=True)
            except ModelUnreachable:
                pass
            except RateLimited as error:
                self._rest(error)
            except ModelError:
                self._tokenizes = False
        return TokenCount(math.ceil(len(text) / CHARACTERS_PER_TOKEN), exact=not text)

    async def close(self) -> None:
        """Let go of connections."""
        await self._connection.close()

    async def _answer(
        self, ask: Callable[[Link], AsyncGenerator[Chunk, None]]
    ) -> AsyncGenerator[Chunk, None]:
        """Stream what `ask` does, once more where the connection was lost before any of it."""
        self._refuse_while_resting()
        begun = False
        for again in (True, False):
            try:
                async with aclosing(ask(await self._linked())) as answer:
                    async for chunk in answer:
                        if not begun:
                            begun = True
                            self._health.worked()
                        yield chunk
                return
            except (ConnectionLost, StreamCut) as error:
                self._connection.lost()
                restartable = self._connection.restartable
                if begun or not again or not (restartable or isinstance(error, ConnectionLost)):
                    final = self._final(error, host_died=restartable and not again)
                    self._failed(final)
                    raise final from error
                if restartable:
                    message = "the model host stopped; it is started again"
                    self._health.pass_on(ModelState("loading", message))
            except ModelError as error:
                self._failed(error)
                raise

    async def _middle(self, link: Link, request: CompletionRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the answer in the first form of asking that the endpoint takes."""
        form = self._form(link, request)
        if self._unsupported and form == "suffix":
            raise Unsupported(self._unsupported)
        refusal: RequestRefused | NoSuchPath | None = None
        while True:
            try:
                async with aclosing(self._hole(link, request, form)) as answer:
                    async for chunk in answer:
                        if refusal is not None:
                            self._dialect.form, refusal = form, None
                        yield chunk
                return
            except (RequestRefused, NoSuchPath) as error:
                if refusal is not None:
                    # Chat is refused as well: the first refusal is the one to know about.
                    raise self._explained(refusal, link) from error
                form, refusal = self._other_form(form, error, link), error

    def _form(self, link: Link, request: CompletionRequest) -> Form:
        if link.served.own is not None:
            return "host"
        return "raw" if request.suffix is None else self._dialect.hole_form(self._family)

    def _other_form(self, form: Form, error: RequestRefused | NoSuchPath, link: Link) -> Form:
        """Return how else to ask; raises what the user should know when there is no other way."""
        if form in ("suffix", "tokens"):
            if isinstance(error, NoSuchPath) or "chat" in error.detail.lower():
                return "chat"
            if form == "suffix" and names_suffix(error.detail):
                self._info = replace(self._info, fills=False)
                self._unsupported = (
                    f"{self._info.where} takes no suffix, and how {link.model_name} fills in the "
                    "middle is not known; name a model that rnj-lsp knows, such as rnj-1-instruct"
                )
                raise Unsupported(self._unsupported) from error
        raise self._explained(error, link) from error

    async def _hole(
        self, link: Link, request: CompletionRequest, form: Form
    ) -> AsyncGenerator[Chunk, None]:
        def ask() -> Asked:
            return ask_hole(self._dialect, link.model_name, self._family, form, request)

        native = link.served.ollama and form in ("tokens", "raw")
        async with aclosing(self._streamed(link, ask, self._patience.completion, native)) as answer:
            async for chunk in answer:
                yield chunk

    async def _turn(self, link: Link, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        own_host = link.served.own is not None

        def ask() -> Asked:
            return ask_turn(self._dialect, link.model_name, self._family, own_host, request)

        try:
            async with aclosing(self._streamed(link, ask, self._patience.chat)) as answer:
                async for chunk in answer:
                    yield chunk
        except NoSuchPath as error:
            raise self._explained(error, link) from error
        except RequestRefused as error:
            if not request.tools or "tool" not in error.detail.lower():
                raise
            raise Unsupported(
                f"{error}; tool calls must be allowed where the model is served, as with "
                "vLLM's --enable-auto-tool-choice --tool-call-parser hermes"
            ) from error

    async def _streamed(
        self, link: Link, ask: Callable[[], Asked], timeouts: Timeouts, native: bool = False
    ) -> AsyncGenerator[Chunk, None]:
        """Stream the answer, leaving out what the endpoint says it does not understand."""
        while True:
            asked = ask()
            wire = link.wire
            source = (
                ollama_pieces(wire, asked.body, timeouts.first_s)
                if native
                else pieces(wire, asked, timeouts)
            )
            try:
                async with aclosing(source), aclosing(chunks(source, asked, wire.where)) as answer:
                    async for chunk in answer:
                        yield chunk
                return
            except RequestRefused as error:
                if not self._dialect.learn(error.detail, asked.body):
                    raise

    async def _linked(self) -> Link:
        """Return the link, with `info` and the family brought up to date."""
        link = await self._connection.link(self._health.pass_on)
        info = informed(self._info, link.served)
        if link.served.own is not None:
            self._family = family(info.family)
        else:
            known = family_of_name(link.model_name) or family_of_name(link.served.origin)
            self._family = known
            info = replace(info, family=known.name) if known is not None else info
        self._info = replace(info, name=info.name or link.model_name)
        return link

    async def _counted(self, link: Link, text: str) -> int:
        """Ask `/tokenize`, in the words of our host, llama-server and vLLM at once."""
        if link.served.own is None:
            text = Neutraliser(self._family).hide(text)
        root = link.wire.address.base_url.rstrip("/").removesuffix("/v1")
        body = {
            "model": link.model_name,
            "content": text,
            "prompt": text,
            "add_special": False,
            "add_special_tokens": False,
            "parse_special": False,
        }
        answer = await link.wire.post(f"{root}/tokenize", body, self._patience.completion.first_s)
        if isinstance(answer, Mapping):
            if isinstance(answer.get("count"), int):
                return int(answer["count"])
            if isinstance(answer.get("tokens"), list):
                return len(answer["tokens"])
        raise Unsupported(f"{self._info.where} does not count tokens")

    def _refuse_while_resting(self) -> None:
        left_s = self._rest_until - self._clock()
        if left_s > 0:
            raise RateLimited(self._rest_reason, left_s)

    def _rest(self, error: RateLimited) -> None:
        rest_s = USUAL_REST_S if error.retry_after_s is None else error.retry_after_s
        self._rest_until, self._rest_reason = self._clock() + rest_s, str(error)

    def _final(self, error: ModelError, host_died: bool) -> ModelError:
        if not host_died:
            return error
        return HostFailed(
            "the model host stopped, was started again and stopped again at the same request; "
            "run rnj-lsp doctor"
        )

    def _failed(self, error: ModelError) -> None:
        """Remember what a failure means for the next request, and tell the user of a change."""
        if isinstance(error, RateLimited):
            self._rest(error)
        elif isinstance(error, ModelNotFound | KeyRefused):
            # Another model, or on this machine another program, may answer there by now.
            self._connection.lost()
        self._health.failed(error)

    def _explained(self, error: RequestRefused | NoSuchPath, link: Link) -> ModelError:
        """Return a refusal with what the endpoint does serve, where that can be the reason."""
        names = link.served.names
        if not isinstance(error, NoSuchPath) or not names or link.model_name in names:
            return error
        listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        return ModelNotFound(f"{self._info.where} has no model {link.model_name}; it has {listed}")
