"""One OpenAI-compatible address: events in, events out, every failure a `ModelError`."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rnj_lsp.models.endpoint import Address
from rnj_lsp.models.model import KeyRefused, ModelBroken, ModelTimeout, ModelUnreachable
from rnj_lsp.models.openai_errors import connection_error, status_error, stream_error

if TYPE_CHECKING:
    import openai


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one purpose may wait, in seconds."""

    first_s: float
    """From the request to the first piece of the answer."""

    between_s: float
    """From one piece to the next."""

    total_s: float
    """For the whole answer."""

    connect_s: float = 5.0
    """For the connection itself: a machine that is there answers well within this."""


COMPLETION = Timeouts(first_s=10.0, between_s=5.0, total_s=60.0)
"""A suggestion that starts later than this finds its user elsewhere."""

LOCAL_COMPLETION = Timeouts(first_s=60.0, between_s=20.0, total_s=300.0)
"""A large model on a small processor reads long, and goes on from there at the next request."""

CHAT = Timeouts(first_s=120.0, between_s=60.0, total_s=1800.0)
"""An edit is asked for and waited for, behind a queue and a long prompt if need be."""

LOCAL_CHAT = Timeouts(first_s=900.0, between_s=120.0, total_s=3600.0)
"""Eight thousand tokens at twenty a second take seven minutes to read."""


class Wire:
    """A connection pool to one address. Close it when the address is left."""

    def __init__(self, address: Address, where: str, connect_s: float) -> None:
        self.address = address
        self.where = where
        """The address for people: host and port."""

        self._connect_s = connect_s
        self._client: openai.AsyncOpenAI | None = None
        self._opening = asyncio.Lock()

    async def events(
        self, path: str, body: Mapping[str, Any], timeouts: Timeouts
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Stream the JSON objects that answer a POST; closing the generator closes the stream."""
        client = await self._opened()
        now = asyncio.get_running_loop().time
        deadline, wait_s = now() + timeouts.total_s, timeouts.first_s
        stream: openai.AsyncStream[object] | None = None
        begun = False
        try:
            while True:
                with self._errors(begun, wait_s):
                    async with asyncio.timeout_at(min(now() + wait_s, deadline)):
                        if stream is None:
                            stream = await client.post(
                                path,
                                cast_to=object,
                                body=_sendable(body),
                                options={"headers": self._headers()},
                                stream=True,
                                stream_cls=_stream_class(),
                            )
                            self._check_type(stream.response.headers)
                        event = await anext(stream, None)
                if event is None:
                    return
                if not isinstance(event, Mapping):
                    raise ModelBroken(f"{self.where} sent something that is not OpenAI's protocol")
                begun, wait_s = True, timeouts.between_s
                yield event
        finally:
            if stream is not None:
                await stream.close()

    async def get(self, path: str, wait_s: float) -> object:
        """Return the parsed answer of a GET; `path` is relative, or a whole URL."""
        client = await self._opened()
        with self._errors(False, wait_s):
            async with asyncio.timeout(wait_s):
                return await client.get(path, cast_to=object, options={"headers": self._headers()})

    async def post(self, path: str, body: Mapping[str, Any], wait_s: float) -> object:
        """Return the parsed answer of a POST; `path` is relative, or a whole URL."""
        client = await self._opened()
        with self._errors(False, wait_s):
            async with asyncio.timeout(wait_s):
                return await client.post(
                    path,
                    cast_to=object,
                    body=_sendable(body),
                    options={"headers": self._headers()},
                )

    async def close(self) -> None:
        """Let go of all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _opened(self) -> openai.AsyncOpenAI:
        async with self._opening:
            if self._client is None:
                key = self.address.api_key
                if not (key.isascii() and key.isprintable()):
                    raise KeyRefused(f"the API key for {self.where} has characters no key can have")
                # The import and the certificates take a third of a second.
                self._client = await asyncio.to_thread(_client, self.address, self._connect_s)
            return self._client

    def _headers(self) -> dict[str, Any]:
        """Return what keeps the `openai` package from telling more than the request."""
        import openai

        hidden = dict.fromkeys(_HIDDEN_HEADERS, openai.Omit())
        return hidden if self.address.api_key else {**hidden, "Authorization": openai.Omit()}

    def _check_type(self, headers: Mapping[str, str]) -> None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/json"):
            raise ModelBroken(
                f"{self.where} answered with {kind} where OpenAI's protocol streams events; "
                "is the address that of an OpenAI-compatible API, with its /v1?"
            )

    @contextmanager
    def _errors(self, begun: bool, wait_s: float) -> Iterator[None]:
        import httpx2
        import openai

        try:
            yield
        except openai.APITimeoutError as error:
            raise ModelUnreachable(
                f"{self.where} did not accept a connection within {self._connect_s:g} s"
            ) from error
        except (openai.APIConnectionError, httpx2.TransportError) as error:
            # The package lets the transport's own errors through while it reads a refusal.
            raise connection_error(error, self.where, begun) from error
        except openai.APIStatusError as error:
            raise status_error(
                error.status_code,
                error.body or error.response.text,
                error.response.headers,
                self.where,
                self.address.api_key,
            ) from error
        except openai.APIError as error:
            raise stream_error(error.body, self.where, self.address.api_key) from error
        except TimeoutError as error:
            what = "nothing more" if begun else "no answer"
            raise ModelTimeout(f"{self.where} sent {what} within {wait_s:g} s") from error
        except (
            openai.OpenAIError,
            httpx2.HTTPError,
            httpx2.InvalidURL,
            httpx2.StreamError,
            ValueError,
            LookupError,
            RecursionError,
        ) as error:
            # A strange charset is a LookupError, a strange redirection an invalid address.
            raise ModelBroken(
                f"{self.where} sent something that is not OpenAI's protocol"
            ) from error


def place(base_url: str) -> str:
    """Return host and port for people, without the user and password a URL may hold."""
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or base_url, parts.port
    except ValueError:
        return "the endpoint"
    return host if port is None else f"{host}:{port}"


def is_loopback(base_url: str) -> bool:
    """Return whether what is sent to this address stays on this machine."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_HIDDEN_HEADERS = (
    "OpenAI-Organization",
    "OpenAI-Project",
    "X-Stainless-Arch",
    "X-Stainless-Async",
    "X-Stainless-Lang",
    "X-Stainless-OS",
    "X-Stainless-Package-Version",
    "X-Stainless-Read-Timeout",
    "X-Stainless-Retry-Count",
    "X-Stainless-Runtime",
    "X-Stainless-Runtime-Version",
)
"""What the package would tell every endpoint of the machine and of the user's OpenAI account."""


def _sendable(value: Any) -> Any:
    """Return the body with lone surrogates replaced: editors send them, UTF-8 cannot."""
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {key: _sendable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_sendable(item) for item in value]
    return value


def _client(address: Address, connect_s: float) -> openai.AsyncOpenAI:
    import openai

    # At debug level these log whole requests, and at info level their addresses.
    for name in ("openai", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return openai.AsyncOpenAI(
        base_url=address.base_url,
        # Without a key the package would look for one of OpenAI's in the environment.
        api_key=address.api_key or "none",
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(
            timeout=openai.Timeout(None, connect=connect_s),
            # A proxy from the environment must not see what is meant for this machine.
            trust_env=not is_loopback(address.base_url),
        ),
    )


def _stream_class() -> type[openai.AsyncStream[object]]:
    import openai

    return openai.AsyncStream[object]
