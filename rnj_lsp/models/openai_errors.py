"""Every failure of an OpenAI-compatible endpoint as a `ModelError` with a sentence.

No sentence holds a key: what an endpoint says about a refused key is left out, because some
repeat it, and the key is blotted out of everything else that they say.
"""

from __future__ import annotations

import email.utils
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping

from rnj_lsp.models.model import (
    KeyRefused,
    ModelBroken,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelUnreachable,
    PromptTooLong,
    RateLimited,
    Unsupported,
)

MOST_RETRY_AFTER_S = 3600.0
"""An endpoint that asks for a longer rest is asked again after an hour, to notice a mistake."""


class ConnectionLost(ModelUnreachable):
    """Refused or reset before anything of the answer came: asking once more is safe."""


class StreamCut(ModelBroken):
    """The stream ended in the middle of the answer."""


class RequestRefused(ModelRefused):
    """400 or 422: the endpoint does not take the request in this form."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail
        """Everything the endpoint said, to look for a parameter's name in."""


class NoSuchPath(ModelNotFound):
    """404 or 405: the endpoint does not have this path, or not for this model."""


def connection_error(error: Exception, where: str, begun: bool) -> ModelError:
    """Return what a failed connection means; `begun`: part of the answer had come."""
    if begun:
        return StreamCut(f"{where} closed the connection in the middle of the answer")
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            what = getattr(cause, "verify_message", "") or cause.reason or "TLS failed"
            return ModelUnreachable(
                f"{where} cannot be reached safely: {what}; if its certificate is your own "
                "organisation's, set SSL_CERT_FILE to the file with its root certificate"
            )
        if isinstance(cause, socket.gaierror):
            return ModelUnreachable(f"there is no host {where}; check the address or the network")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return ConnectionLost(f"nothing answers at {where}; is the server running?")
    if any("proxy" in type(cause).__name__.lower() for cause in causes):
        return ModelUnreachable(
            f"the proxy on the way to {where} refused; check HTTPS_PROXY and NO_PROXY"
        )
    return ConnectionLost(f"the connection to {where} was lost before an answer came")


def status_error(
    status: int, body: object, headers: Mapping[str, str], where: str, key: str
) -> ModelError:
    """Return what a status from 400 means; `body` is the answer, parsed where it was JSON."""
    said = _said(body)
    if key:
        said = said.replace(key, "…")
    short = f": {_shortened(said)}" if said else ""
    if status in (401, 403):
        return KeyRefused(f"{where} refused the API key ({status}); set RNJ_API_KEY to a good one")
    if status == 429:
        after = retry_after_s(headers, time.time())
        wait = "" if after is None else f"; it asks to wait {after:.0f} s"
        return RateLimited(f"{where} has had too many requests for now (429){wait}", after)
    code = _field(body, "code")
    if status in (400, 413, 422) and (code == _TOO_LONG_CODE or _TOO_LONG.search(said)):
        tokens, limit = _lengths(said, body)
        return PromptTooLong(f"the prompt is too long for {where}{short}", tokens, limit)
    if status in (404, 405):
        return NoSuchPath(f"{where} has no such model or path ({status}){short}")
    if status >= 500:
        return ModelBroken(f"{where} failed with an error of its own ({status}){short}")
    if code == "unsupported":
        return Unsupported(f"{where} cannot do this{short}")
    if status in (400, 422):
        detail = said + "\n" + (json.dumps(body) if isinstance(body, Mapping) else "")
        return RequestRefused(f"{where} refused the request ({status}){short}", detail)
    return ModelRefused(f"{where} refused the request ({status}){short}")


def stream_error(error: object, where: str, key: str) -> ModelError:
    """Return what an error object inside a stream means; its code may be a status."""
    code = error.get("code") if isinstance(error, Mapping) else None
    status = int(str(code)) if re.fullmatch("[45][0-9]{2}", str(code)) else 500
    return status_error(status, error, {}, where, key)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds that `Retry-After` asks for, from a number or a date."""
    value = headers.get("retry-after", "").strip()
    try:
        wait_s = float(value)
    except ValueError:
        try:
            wait_s = email.utils.parsedate_to_datetime(value).timestamp() - now_s
        except (ValueError, TypeError, OverflowError, OSError):
            return None
    return min(max(wait_s, 0.0), MOST_RETRY_AFTER_S) if wait_s == wait_s else None


_TOO_LONG_CODE = "context_length_exceeded"

_TOO_LONG = re.compile(
    r"context[ _](?:length|size|window)|maximum context|too long|too many tokens|exceed\w*"
    r" the (?:available )?context|n_ctx",
    re.IGNORECASE,
)


def _lengths(said: str, body: object) -> tuple[int | None, int | None]:
    """Return prompt tokens and limit, from llama-server's fields or from the sentence."""
    window, asked = _field(body, "n_ctx"), _field(body, "n_prompt_tokens")
    if isinstance(window, int):
        return asked if isinstance(asked, int) else None, window
    numbers = [int(number) for number in re.findall(r"\b\d{2,9}\b", said)]
    limit = re.search(r"(?:maximum|max\w*|limit|window)\D{0,40}(\d{2,9})", said, re.IGNORECASE)
    if limit is None:
        return None, None
    limit_tokens = int(limit[1])
    above = [number for number in numbers if number > limit_tokens]
    return (min(above) if above else None), limit_tokens


def _said(body: object) -> str:
    """Return the endpoint's own words, wherever it put them."""
    if isinstance(body, Mapping):
        for name in ("error", "message", "detail"):
            if body.get(name):
                return _said(body[name])
        return ""
    if isinstance(body, list):
        return "; ".join(_said(item) or _said(_field(item, "msg")) for item in body[:5])
    text = body if isinstance(body, str) else ""
    # A page of HTML says nothing that a person wants to read in a message.
    return "" if text.lstrip().startswith("<") else text


def _field(body: object, name: str) -> object:
    """Return a field of an error, whether the server wraps it in `error` or the package did not."""
    if not isinstance(body, Mapping):
        return None
    error = body.get("error")
    return (error if isinstance(error, Mapping) else body).get(name)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:199] + "…"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__context__, cause.__cause__]
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions
