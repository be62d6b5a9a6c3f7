"""A small OpenAI-compatible server on loopback that fails in every way one is asked for.

with FaultServer() as server:
    server.mode = "rate_limited"
    ...  # talk to server.base_url, then look at server.requests
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Mode = Literal[
    "good",
    "wrong_key",
    "no_model",
    "rate_limited",
    "server_error",
    "too_long",
    "unsupported",
    "hang",
    "hang_everywhere",
    "hang_after_headers",
    "hang_after_first",
    "cut",
    "cut_before_text",
    "no_finish",
    "not_json",
    "wrong_json",
    "html",
    "error_in_stream",
    "reset",
]


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived."""

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]


class FaultServer:
    """The server; use it as a context manager. Every attribute may be changed while it runs."""

    def __init__(self) -> None:
        self.mode: Mode = "good"
        """How completions and chats are answered."""

        self.pieces: list[str] = ["return ", "a + ", "b"]
        """The answer, as it is streamed."""

        self.tool_calls: list[dict[str, Any]] = []
        """Fragments of tool calls, one list entry a chunk, that a chat streams after its text."""

        self.models: list[dict[str, Any]] = [{"id": "test-model", "object": "model"}]
        """The answer of /v1/models; an empty list of models makes the path a 404."""

        self.refuses: set[str] = set()
        """Parameters that make a request a 400; `completions`, `chat` or `generate` (Ollama's
        own API) make that path a 404."""

        self.most_stops = 4
        self.retry_after = "7"
        """The header of a 429; empty: none."""

        self.tokenizes: Literal["vllm", "llama", "no"] = "no"
        self.requests: list[Received] = []
        """Requests to everything but /v1/models, oldest first."""

        self.received = threading.Event()
        """A request other than for the list of models has arrived."""

        self.disconnected = threading.Event()
        """A client went away before its answer was complete."""

        self.streaming = threading.Event()
        """A stream has sent its first piece."""

        self.base_url = ""
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._port = 0

    def __enter__(self) -> FaultServer:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Answer; after a `stop` on the same port as before."""
        # With the protocol named, asyncio sends small pieces at once.
        listening = socket.socket(proto=socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self._port))
        self._port = listening.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self._port}/v1"
        config = uvicorn.Config(
            self._app(), log_config=None, log_level="critical", lifespan="off", ws="none"
        )
        config.timeout_graceful_shutdown = 0
        self._server = uvicorn.Server(config)
        started, self._socket = self._server, listening
        self._thread = threading.Thread(target=lambda: started.run([listening]), daemon=True)
        self._thread.start()
        while not started.started:
            self._thread.join(0.005)
            assert self._thread.is_alive(), "the fault server did not start"

    def stop(self) -> None:
        """Stop answering: connections are closed and new ones refused."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)
        self._server = None
        if self._socket is not None:
            self._socket.close()

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self._list),
                Route("/v1/completions", self._complete, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/api/generate", self._generate, methods=["POST"]),
                Route("/tokenize", self._tokenize, methods=["POST"]),
            ]
        )

    async def _list(self, request: Request) -> Response:
        if self.mode == "wrong_key":
            return _error(401, f"Incorrect API key provided: {request.headers['authorization']}")
        if self.mode == "hang_everywhere":
            await self._gone(request)
        if not self.models:
            return _error(404, "Not Found")
        return JSONResponse({"object": "list", "data": self.models})

    async def _tokenize(self, request: Request) -> Response:
        body = await self._received(request)
        if self.tokenizes == "vllm":
            count = len(body["prompt"])
            return JSONResponse({"count": count, "max_model_len": 4096, "tokens": [1] * count})
        if self.tokenizes == "llama":
            return JSONResponse({"tokens": [1] * len(body["content"])})
        return _error(404, "Not Found")

    async def _complete(self, request: Request) -> Response:
        body = await self._received(request)
        if "completions" in self.refuses:
            return _error(404, "Not Found")
        return self._refusal(body) or await self._answer(request, chat=False)

    async def _chat(self, request: Request) -> Response:
        body = await self._received(request)
        if "chat" in self.refuses:
            return _error(404, "Not Found")
        return self._refusal(body) or await self._answer(request, chat=True)

    async def _generate(self, request: Request) -> Response:
        body = await self._received(request)
        if "generate" in self.refuses:
            return _error(404, "Not Found")
        return JSONResponse({"model": body["model"], "response": "".join(self.pieces)})

    async def _received(self, request: Request) -> Mapping[str, Any]:
        body = json.loads(await request.body())
        self.requests.append(Received(request.url.path, body, dict(request.headers)))
        self.received.set()
        return dict(body)

    def _refusal(self, body: Mapping[str, Any]) -> Response | None:
        for name in sorted(self.refuses & body.keys()):
            return _error(400, f"{name} is not currently supported", param=name)
        if len(body.get("stop") or ()) > self.most_stops:
            return _error(400, f"stop: at most {self.most_stops} items")
        return None

    async def _answer(self, request: Request, chat: bool) -> Response:
        mode = self.mode
        if mode == "wrong_key":
            return _error(401, f"Incorrect API key provided: {request.headers['authorization']}")
        if mode == "no_model":
            return _error(404, "The model does not exist")
        if mode == "rate_limited":
            headers = {"Retry-After": self.retry_after} if self.retry_after else {}
            return _error(429, "slow down", headers=headers)
        if mode == "server_error":
            return _error(500, "CUDA out of memory")
        if mode == "too_long":
            said = "This model's maximum context length is 4096 tokens. However, you requested"
            return _error(400, f"{said} 5000 tokens (4872 in the messages, 128 in the completion).")
        if mode == "unsupported":
            return _error(400, "this model cannot fill in the middle", code="unsupported")
        if mode == "html":
            return HTMLResponse("<html><h1>Sign in to the network</h1></html>")
        if mode == "not_json":
            return _stream(_once("data: {not json\n\n"))
        if mode == "wrong_json":
            return _stream(_once('data: {"choices": "none"}\n\n'))
        if mode == "error_in_stream":
            return _stream(_once('data: {"error": {"message": "worker died", "code": 500}}\n\n'))
        if mode == "reset":
            self._reset(request)
        if mode in ("hang", "reset"):
            await self._gone(request)
            return Response()
        return _stream(self._events(request, chat))

    async def _events(self, request: Request, chat: bool) -> AsyncIterator[str]:
        try:
            if self.mode == "hang_after_headers":
                await self._gone(request)
            if self.mode == "cut_before_text":
                yield _event(_piece("", chat))
                raise _CutError
            for number, piece in enumerate(self.pieces):
                yield _event(_piece(piece, chat))
                self.streaming.set()
                if self.mode == "cut":
                    raise _CutError
                if self.mode == "hang_after_first" and number == 0:
                    await self._gone(request)
            if chat:
                for fragment in self.tool_calls:
                    yield _event(_delta({"tool_calls": [fragment]}))
            if self.mode != "no_finish":
                finish = "tool_calls" if chat and self.tool_calls else "stop"
                yield _event(_piece("", chat, finish))
                usage = {
                    "prompt_tokens": 11,
                    "completion_tokens": 3,
                    "prompt_tokens_details": {"cached_tokens": 8},
                }
                yield _event({"choices": [], "usage": usage})
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.disconnected.set()
            raise

    def _reset(self, request: Request) -> None:
        """Close the client's connection before anything is answered."""
        assert self._server is not None
        assert request.client is not None
        for connection in list(self._server.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                peer = transport.get_extra_info("peername")
                if peer is not None and peer[1] == request.client.port:
                    transport.abort()

    async def _gone(self, request: Request) -> None:
        """Return when the client goes away, or the server is stopped."""
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()


class _CutError(Exception):
    """Makes uvicorn close the connection in the middle of a response."""


def _error(
    status: int,
    message: str,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
    code: str | int | None = None,
) -> Response:
    error = {"message": message, "type": "test", "param": param, "code": code or status}
    return JSONResponse({"error": error}, status, headers=headers)


def _stream(events: AsyncIterator[str]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream")


async def _once(text: str) -> AsyncIterator[str]:
    yield text


def _event(value: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _piece(text: str, chat: bool, finish: str | None = None) -> dict[str, Any]:
    if chat:
        return _delta({"content": text}, finish)
    return {"choices": [{"index": 0, "text": text, "finish_reason": finish}]}


def _delta(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
