"""The HTTP routes of the model host: OpenAI's API, and a few of its own."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rnj_lsp import __version__
from rnj_lsp.models.host.answers import Shape, answer
from rnj_lsp.models.host.bodies import BadRequest, chat_body, completion_body, tokenize_body
from rnj_lsp.models.host.engine import Engine
from rnj_lsp.models.host.guard import EndsWithClient, Guard, error_response
from rnj_lsp.models.host.metrics import metrics_text
from rnj_lsp.models.host.probe import llama_cpp_version
from rnj_lsp.models.host.service import Service
from rnj_lsp.models.host.starter import is_starter
from rnj_lsp.models.model import HostFailed, ModelError, PromptTooLong, Unsupported


def make_app(service: Service, token: str, leave: Callable[[], None]) -> Starlette:
    """Return the application; `leave` is called when a client asks the host to stop."""
    routes = _Routes(service, leave)
    return Starlette(
        routes=[
            Route("/health", routes.health),
            Route("/metrics", routes.metrics),
            Route("/v1/models", routes.models),
            Route("/v1/completions", routes.completions, methods=["POST"]),
            Route("/v1/chat/completions", routes.chat, methods=["POST"]),
            Route("/tokenize", routes.tokenize, methods=["POST"]),
            Route("/shutdown", routes.shutdown, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, token=token), Middleware(EndsWithClient)],
        exception_handlers={
            BadRequest: _bad_request,
            ModelError: _model_error,
            HTTPException: _http_error,
            Exception: _unexpected,
        },
    )


class _Routes:
    """One method a route."""

    def __init__(self, service: Service, leave: Callable[[], None]) -> None:
        self._service = service
        self._leave = leave

    async def health(self, _: Request) -> Response:
        condition = self._service.condition
        return JSONResponse(
            {
                "state": condition.state,
                "message": condition.message,
                "percent": condition.percent,
                "pid": os.getpid(),
                "version": __version__,
            }
        )

    async def metrics(self, _: Request) -> Response:
        return PlainTextResponse(metrics_text(self._service), media_type=_PROMETHEUS)

    async def models(self, _: Request) -> Response:
        engine = await self._service.engine()
        return JSONResponse({"object": "list", "data": [self._model(engine)]})

    async def completions(self, request: Request) -> Response:
        engine = await self._service.engine()
        asked = completion_body(await _json(request), engine.vocabulary.size)
        prompt = await asyncio.to_thread(_completion_prompt, engine, asked.prompt, asked.suffix)
        engine.require_fit(len(prompt))
        generation = asked.generation
        if asked.suffix is not None:
            generation = engine.filling(generation)
        pieces = self._service.stream(prompt, generation)
        return await answer(pieces, Shape("completion", self._name), asked.delivery)

    async def chat(self, request: Request) -> Response:
        engine = await self._service.engine()
        recommended = engine.facts.family.sampling
        asked = chat_body(await _json(request), engine.vocabulary.size, recommended)
        chat = self._service.chat()
        prompt = await asyncio.to_thread(chat.prompt, asked.messages, asked.tools)
        engine.require_fit(len(prompt))
        pieces = self._service.stream(prompt, asked.generation)
        return await answer(pieces, Shape("chat", self._name), asked.delivery)

    async def tokenize(self, request: Request) -> Response:
        engine = await self._service.engine()
        content, special = tokenize_body(await _json(request))
        with self._service.idle.in_use():
            tokenize = engine.vocabulary.tokenize
            tokens = await asyncio.to_thread(tokenize, content, special=special)
        return JSONResponse({"tokens": tokens})

    async def shutdown(self, _: Request) -> Response:
        self._leave()
        return JSONResponse({"state": "leaving"})

    @property
    def _name(self) -> str:
        return self._service.model.stem

    def _model(self, engine: Engine) -> dict[str, Any]:
        facts, probe = engine.facts, self._service.probe
        return {
            "id": self._name,
            "object": "model",
            "created": int(self._service.model.stat().st_mtime),
            "owned_by": "rnj-lsp",
            "rnj": {
                "title": facts.title,
                "family": facts.family.name,
                "fills": facts.fills,
                "reason": facts.reason,
                "chats": self._service.chats,
                "context_tokens": engine.context_tokens,
                "starter": is_starter(self._service.model),
                "version": __version__,
                "llama_cpp": llama_cpp_version(),
                "safe_mode": probe is not None and not probe.extra_buffers,
            },
        }


_PROMETHEUS = "text/plain; version=0.0.4"


def _completion_prompt(engine: Engine, prompt: str | list[int], suffix: str | None) -> list[int]:
    if isinstance(prompt, list):
        return prompt
    if suffix is not None:
        return engine.prompt_of(prompt, suffix)
    return engine.vocabulary.with_bos(engine.vocabulary.tokenize(prompt, special=True))


async def _json(request: Request) -> Mapping[str, Any]:
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the request is not valid JSON: {error}") from error
    if not isinstance(body, Mapping):
        raise BadRequest("the request must be a JSON object")
    return body


async def _bad_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, BadRequest)
    return error_response(400, str(error), "invalid_request_error", None, error.param)


async def _model_error(_: Request, error: Exception) -> Response:
    if isinstance(error, PromptTooLong):
        code = "context_length_exceeded"
        return error_response(400, str(error), "invalid_request_error", code, "prompt")
    if isinstance(error, Unsupported):
        return error_response(400, str(error), "invalid_request_error", "unsupported")
    if isinstance(error, HostFailed):
        return error_response(503, str(error), "server_error", "model_not_loaded")
    return error_response(500, str(error), "server_error")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    return error_response(error.status_code, message, "invalid_request_error", "unknown_url")


async def _unexpected(_: Request, __: Exception) -> Response:
    return error_response(500, "the model host failed; its log says more", "server_error")
