"""A raw prompt for Ollama, whose OpenAI-compatible API wraps every prompt in a chat template.

Its own `/api/generate` takes `raw`. It is asked without streaming: a suggestion is short. The
form of this API is from its documentation and was not run against Ollama.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from rnj_lsp.models.answers import Piece, count
from rnj_lsp.models.model import FinishReason, ModelBroken, Usage
from rnj_lsp.models.wire import Wire


async def ollama_pieces(
    wire: Wire, body: Mapping[str, Any], wait_s: float
) -> AsyncGenerator[Piece, None]:
    """Yield the whole answer to a body for OpenAI's `/completions` as one piece."""
    root = wire.address.base_url.rstrip("/").removesuffix("/v1")
    yield _piece(await wire.post(f"{root}/api/generate", _raw(body), wait_s), wire.where)


def _raw(body: Mapping[str, Any]) -> dict[str, Any]:
    options = {
        "num_predict": body.get("max_tokens"),
        "temperature": body.get("temperature"),
        "stop": body.get("stop"),
    }
    return {
        "model": body["model"],
        "prompt": body["prompt"],
        "raw": True,
        "stream": False,
        "options": {name: value for name, value in options.items() if value is not None},
    }


def _piece(answer: object, where: str) -> Piece:
    if not isinstance(answer, Mapping) or not isinstance(answer.get("response"), str):
        raise ModelBroken(f"{where} sent an answer that is not Ollama's protocol")
    usage = Usage(
        prompt_tokens=count(answer.get("prompt_eval_count")),
        completion_tokens=count(answer.get("eval_count")),
    )
    finish: FinishReason = "length" if answer.get("done_reason") == "length" else "stop"
    return Piece(answer["response"], finish=finish, usage=usage)
