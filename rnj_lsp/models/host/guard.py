"""What stands in front of the routes: who may ask, and the end of a request whose client left."""

from __future__ import annotations

import asyncio
import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LARGEST_BODY = 64 << 20
_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")


def error_response(
    status: int, message: str, kind: str, code: str | None = None, param: str | None = None
) -> JSONResponse:
    """Return an error in OpenAI's shape."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return JSONResponse({"error": error}, status)


class Guard:
    """Lets only requests with the token through, and only those addressed to this machine.

    The address matters because a web page can make its own name resolve to 127.0.0.1.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may not pass, and pass the others on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if _without_port(headers.get("host", "")) not in _OWN_NAMES:
            message = "this host answers to 127.0.0.1 and localhost only"
            refusal = error_response(403, message, "invalid_request_error", "forbidden_host")
            await refusal(scope, receive, send)
        elif not hmac.compare_digest(headers.get("authorization", "").encode(), self._expected):
            message = "the token is missing or wrong; send it as a bearer token"
            refusal = error_response(401, message, "invalid_request_error", "invalid_api_key")
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class EndsWithClient:
    """Cancels whatever is being done for a client that closed its connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on once it is complete, and watch its connection meanwhile."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > _LARGEST_BODY:
                text = f"the request is larger than {_LARGEST_BODY} bytes"
                await error_response(413, text, "invalid_request_error")(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        work = asyncio.create_task(_run(self._app, scope, bytes(body), send))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.wait({work, gone})
        if not work.cancelled():
            work.result()


async def _run(app: ASGIApp, scope: Scope, body: bytes, send: Send) -> None:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    forever = asyncio.Event()

    async def receive() -> Message:
        if not messages:
            await forever.wait()
        return messages.pop()

    await app(scope, receive, send)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name.lower() if separator and port.isdigit() else host.lower()
