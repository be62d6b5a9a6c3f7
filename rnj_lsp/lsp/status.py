"""Tells the user how the model is: a notification, a progress bar, and few messages."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from rnj_lsp.models.model import ModelInfo, ModelState

_STARTER_HINT = (
    "rnj-lsp completes with its small bundled model. For the real Rnj-1 (about 4.8 GB) run: "
    "rnj-lsp models pull rnj-1-instruct"
)


@dataclass(frozen=True, slots=True)
class Status:
    """The parameters of `rnj/status` and the answer of `rnj.status`."""

    state: str
    """`idle`, `loading`, `ready`, `unreachable`, or `off`."""

    model: str
    where: str
    local: bool
    starter: bool
    message: str
    percent: int | None


def status_of(state: ModelState, info: ModelInfo | None, enabled: bool) -> Status:
    """Return what an editor shows."""
    return Status(
        state=state.kind if enabled else "off",
        model=info.name if info else "",
        where=info.where if info else "",
        local=info.local if info else True,
        starter=info.starter if info else False,
        message=state.message,
        percent=state.percent,
    )


class Reporter:
    """Sends states to the client, each change once."""

    def __init__(self, server: LanguageServer, told: Path | None) -> None:
        self._server = server
        self._told = told
        self._loading: ProgressBar | None = None
        self._last: Status | None = None

    def report(self, status: Status) -> None:
        """Pass on a state: the notification always, a message when it is lost or back."""
        if status == self._last:
            return
        last, self._last = self._last, status
        self._server.protocol.notify("rnj/status", asdict(status))
        self._show_loading(status)
        if status.state == "unreachable":
            self._say(lsp.MessageType.Warning, status.message)
        elif status.state == "ready" and last is not None and last.state == "unreachable":
            self._say(lsp.MessageType.Info, status.message or f"{status.model} is back.")
        if status.state == "ready" and status.starter and not self._hinted():
            self._say(lsp.MessageType.Info, _STARTER_HINT)

    @asynccontextmanager
    async def task(self, title: str) -> AsyncIterator[Callable[[int, int], None]]:
        """Show a progress bar while something runs; call what is given with done and total."""
        bar = ProgressBar(self._server, title, "")
        try:
            yield lambda done, total: bar.report("", done * 100 // total if total else None)
        finally:
            bar.end("")

    def _hinted(self) -> bool:
        """Return whether the user was told before, on this machine, and remember it now."""
        if self._told is None or self._told.exists():
            return True
        self._told.touch()
        return False

    def _say(self, kind: lsp.MessageType, message: str) -> None:
        self._server.window_show_message(lsp.ShowMessageParams(kind, message))

    def _show_loading(self, status: Status) -> None:
        """Show a progress bar from the first `loading` to the state after the last one."""
        if status.state == "loading":
            if self._loading is None:
                self._loading = ProgressBar(self._server, "rnj-lsp", status.message)
            self._loading.report(status.message, status.percent)
        elif self._loading is not None:
            self._loading.end(status.message)
            self._loading = None


class ProgressBar:
    """A progress bar of the client's, if it has any; `end` takes it away."""

    def __init__(self, server: LanguageServer, title: str, message: str) -> None:
        self._server = server
        self._token = f"rnj-{next(_TOKENS)}"
        self._last: tuple[str, int | None] | None = None
        begin = lsp.WorkDoneProgressBegin(title=title, message=message, cancellable=False)
        self._begun = asyncio.get_running_loop().create_task(self._begin(begin))

    def report(self, message: str, percent: int | None) -> None:
        """Show how far it is; the same again is not sent."""
        if (message, percent) != self._last:
            self._last = (message, percent)
            self._send(lsp.WorkDoneProgressReport(message=message, percentage=percent))

    def end(self, message: str) -> None:
        """Take the bar away."""
        self._send(lsp.WorkDoneProgressEnd(message=message))

    async def _begin(self, begin: lsp.WorkDoneProgressBegin) -> bool:
        """Return whether the client shows the bar."""
        window = self._server.client_capabilities.window
        if not window or not window.work_done_progress:
            return False
        try:
            await self._server.window_work_done_progress_create_async(
                lsp.WorkDoneProgressCreateParams(self._token)
            )
        except JsonRpcException:
            return False
        self._server.protocol.notify(lsp.PROGRESS, lsp.ProgressParams(self._token, begin))
        return True

    def _send(self, value: lsp.WorkDoneProgressReport | lsp.WorkDoneProgressEnd) -> None:
        """Send a value once the client knows the token."""

        def send(begun: asyncio.Task[bool]) -> None:
            if not begun.cancelled() and begun.exception() is None and begun.result():
                params = lsp.ProgressParams(self._token, value)
                self._server.protocol.notify(lsp.PROGRESS, params)

        self._begun.add_done_callback(send)


_TOKENS = itertools.count(1)
