"""One editor's server: its state, and what its client can do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types as lsp
from lsprotocol.converters import get_converter
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from rnj_lsp import __version__
from rnj_lsp.completion.journal import Journal
from rnj_lsp.lsp.protocol import Protocol
from rnj_lsp.lsp.status import Reporter, Status, status_of
from rnj_lsp.lsp.workspace import OpenModel, Workspace
from rnj_lsp.models.folders import cache_folder
from rnj_lsp.models.model import ModelError, ModelState
from rnj_lsp.settings import Problem
from rnj_lsp.source.document import PositionEncoding

log = logging.getLogger(__name__)

_CLIENT_S = 5.0
"""Seconds for a client to answer a question; the server goes on without."""

Answer = TypeVar("Answer")


class RnjServer(LanguageServer):
    """One editor's server."""

    def __init__(self, open_model: OpenModel) -> None:
        super().__init__(
            "rnj-lsp",
            __version__,
            protocol_cls=Protocol,
            converter_factory=get_converter,
        )
        folder = _cache()
        journal = Journal(folder)
        self.rnj = Workspace(open_model, self._on_state, journal)
        self.reporter = Reporter(self, folder / "starter-told" if folder else None)
        self.encoding = PositionEncoding.UTF16
        self.accepted = 0
        self.startup_problems: list[Problem] = []
        self.popup_offered = False
        self.settled = asyncio.Event()
        """Set once the editor has said its settings; a request before that would be wasted."""

        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Awaitable[None]) -> None:
        """Run something beside the handlers until the server ends."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def report_problems(self, problems: list[Problem]) -> None:
        """Show all bad settings in one message."""
        if problems:
            text = "rnj-lsp: " + "; ".join(str(problem) for problem in problems)
            self.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Warning, text))

    def status(self) -> Status:
        """Return how the completion model is."""
        try:
            info = self.rnj.completion_model().info
            state = self.rnj.state()
        except ModelError as error:
            info, state = None, ModelState("unreachable", str(error))
        return status_of(state, info, self.rnj.settings().completion.enabled)

    def offers_popup(self) -> bool:
        """Return whether suggestions also go out as ordinary completion items."""
        popup = self.rnj.settings().completion.popup
        document = self.client_capabilities.text_document
        ghost_text = document is not None and document.inline_completion is not None
        return popup == "always" or (popup == "auto" and not ghost_text)

    def can_configure(self) -> bool:
        """Return whether the client can be asked for its settings."""
        workspace = self.client_capabilities.workspace
        return bool(workspace and workspace.configuration)

    def can_watch(self) -> bool:
        """Return whether the client can be asked to watch files."""
        workspace = self.client_capabilities.workspace
        watched = workspace.did_change_watched_files if workspace else None
        return bool(watched and watched.dynamic_registration)

    def can_register_completion(self) -> bool:
        """Return whether completion items can be offered after the start."""
        document = self.client_capabilities.text_document
        return bool(document and document.completion and document.completion.dynamic_registration)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log what went wrong; the text of an error may hold the user's code, its kind does not."""
        log.error("%s in the protocol", type(error).__name__)

    def _on_state(self, spec: str, state: ModelState) -> None:
        self.reporter.report(self.status())


def _cache() -> Path | None:
    """Return the cache folder; a server without one still completes, and only remembers less."""
    try:
        return cache_folder()
    except ModelError as error:
        log.warning("%s", error)
        return None


async def answered(question: Awaitable[Answer]) -> Answer | None:
    """Return the client's answer, or None when it refuses or does not answer."""
    try:
        async with asyncio.timeout(_CLIENT_S):
            return await question
    except (JsonRpcException, TimeoutError):
        log.warning("the client did not answer a question")
        return None
