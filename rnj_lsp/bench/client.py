"""A bare LSP client over standard input and output, for measurements and tests.

It uses no LSP library, so what it sees is what any editor sees.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

CAPABILITIES: Mapping[str, Any] = {
    "textDocument": {"inlineCompletion": {}, "synchronization": {"didSave": True}},
    "window": {"workDoneProgress": True},
    "workspace": {"configuration": True, "workspaceFolders": True},
    "general": {"positionEncodings": ["utf-32", "utf-16"]},
}
"""A capable editor; its positions count code points."""


class ServerError(Exception):
    """The server answered a request with an error, or ended."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class LspClient:
    """One running server. `notifications` holds what it sent, oldest first."""

    def __init__(self, process: asyncio.subprocess.Process, settings: Mapping[str, Any]) -> None:
        self.process = process
        self.settings = settings
        self.notifications: deque[dict[str, Any]] = deque(maxlen=1000)
        self.server_requests: list[str] = []
        self.refuses = False
        """Answer every question of the server with an error, as a poor client does."""

        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls,
        command: Sequence[str] = (sys.executable, "-m", "rnj_lsp", "--stdio"),
        *,
        settings: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        errors: int | None = None,
    ) -> Self:
        """Start a server; `settings` are its answer to `workspace/configuration`."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(environ or {})},
            cwd=folder,
        )
        return cls(process, settings or {})

    async def initialize(
        self, *folders: Path, capabilities: Mapping[str, Any] = CAPABILITIES, options: Any = None
    ) -> dict[str, Any]:
        """Do the handshake; return the server's answer."""
        answer: dict[str, Any] = await self.request(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": folders[0].as_uri() if folders else None,
                "workspaceFolders": [
                    {"uri": folder.as_uri(), "name": folder.name} for folder in folders
                ],
                "capabilities": capabilities,
                "initializationOptions": options,
            },
        )
        self.notify("initialized", {})
        return answer

    def open(self, uri: str, language: str, text: str, version: int = 1) -> None:
        """Open a document."""
        item = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, uri: str, version: int, changes: Sequence[Mapping[str, Any]]) -> None:
        """Change a document."""
        document = {"uri": uri, "version": version}
        self.notify(
            "textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)}
        )

    async def inline_completion(
        self, uri: str, line: int, character: int, *, invoked: bool = True, **context: Any
    ) -> Any:
        """Ask for ghost text; line and character from 0."""
        return await self.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": uri},
                "position": {"line": line, "character": character},
                "context": {"triggerKind": 1 if invoked else 2, **context},
            },
        )

    async def request(self, method: str, params: Any) -> Any:
        """Ask and wait for the answer; cancelling cancels at the server. Raises `ServerError`."""
        number = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._send({"id": number, "method": method, "params": params})
        try:
            return await future
        except asyncio.CancelledError:
            self.notify("$/cancelRequest", {"id": number})
            raise
        finally:
            self._waiting.pop(number, None)

    def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    async def notification(self, method: str, **fields: Any) -> dict[str, Any]:
        """Wait for a notification with these fields in its parameters, and take it out."""
        async with self._news:
            while True:
                for message in self.notifications:
                    params = message.get("params") or {}
                    if message["method"] == method and fields.items() <= params.items():
                        self.notifications.remove(message)
                        return dict(params)
                if self._reader.done():
                    raise ServerError(0, f"the server ended while {method} was awaited")
                await self._news.wait()

    async def close(self) -> int:
        """Shut the server down properly; return its exit status."""
        if self.process.returncode is None:
            await self.request("shutdown", None)
            self.notify("exit", None)
        status = await self.process.wait()
        await self._reader
        return status

    async def kill(self) -> None:
        """End the server the hard way, if it still runs."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reader

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            while header := await self.process.stdout.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in header.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                await self._take(json.loads(await self.process.stdout.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ServerError(0, "the server ended"))
        async with self._news:
            self._news.notify_all()

    async def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            future = self._waiting.get(message["id"])
            if future is None or future.done():
                return
            if error := message.get("error"):
                future.set_exception(ServerError(error["code"], error["message"]))
            else:
                future.set_result(message.get("result"))
        elif "id" in message:
            self.server_requests.append(message["method"])
            refusal = {"error": {"code": -32601, "message": "not supported"}}
            answer = refusal if self.refuses else {"result": self._answer(message)}
            self._send({"id": message["id"], **answer})
        else:
            async with self._news:
                self.notifications.append(message)
                self._news.notify_all()

    def _answer(self, message: dict[str, Any]) -> Any:
        if message["method"] == "workspace/configuration":
            return [self.settings for _ in message["params"]["items"]]
        if message["method"] == "workspace/applyEdit":
            return {"applied": True}
        return None
