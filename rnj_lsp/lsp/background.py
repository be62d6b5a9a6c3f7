"""What the server does beside its handlers: settings, loading, downloads, and the end."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable
from typing import Any

import psutil
from lsprotocol import types as lsp

from rnj_lsp.lsp.completion import offer_popup_later
from rnj_lsp.lsp.configuration import PROJECT_FILE
from rnj_lsp.lsp.server import RnjServer, answered
from rnj_lsp.models.model import ModelError
from rnj_lsp.settings import Layer, Problem, Settings

log = logging.getLogger(__name__)

_PARENT_CHECK_S = 3.0
"""Seconds between two looks whether the editor still lives."""

_SAVE_S = 2.0
"""Seconds between two writes of the journal."""


async def tell_the_end(server: RnjServer, work: Awaitable[str]) -> dict[str, str]:
    """Do something with the models; its end is both the answer and a message."""
    try:
        message = await work
    except ModelError as error:
        server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Error, str(error)))
        return {"error": str(error)}
    server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Info, message))
    return {"message": message}


async def pull_model(server: RnjServer, name: str) -> str:
    """Download a model with a progress bar; return what to tell the user."""
    from rnj_lsp.models.download import pull

    loop = asyncio.get_running_loop()
    async with server.reporter.task(f"rnj-lsp: downloading {name}") as report:

        def on_progress(done_bytes: int, total_bytes: int) -> None:
            loop.call_soon_threadsafe(report, done_bytes, total_bytes)

        path = await asyncio.to_thread(pull, name, on_progress)
    await _reload(server)
    return f"{path.name} is downloaded"


async def select_model(server: RnjServer, name: str) -> str:
    """Make a model the choice of `auto`; return what to tell the user."""
    from rnj_lsp.models.library import use

    chosen = use(name)
    await _reload(server)
    return f"auto now means {chosen}"


async def _reload(server: RnjServer) -> None:
    """Open the models again, because `auto` may mean another one now."""
    await server.rnj.close_models()
    await _load(server)


async def start(server: RnjServer) -> None:
    """Take the settings that the editor holds, report bad ones, and load the model."""
    if server.can_configure():
        await take_settings(server, None, server.startup_problems)
    else:
        server.report_problems(server.startup_problems)
    server.settled.set()
    if server.can_watch():
        watcher = lsp.FileSystemWatcher(glob_pattern=f"**/{PROJECT_FILE}")
        options = lsp.DidChangeWatchedFilesRegistrationOptions(watchers=[watcher])
        registration = lsp.Registration(
            "rnj-project-file", lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, options
        )
        await answered(
            server.client_register_capability_async(lsp.RegistrationParams([registration]))
        )
    await _load(server)


async def _load(server: RnjServer) -> None:
    """Load the completion model before it is needed."""
    if server.rnj.settings().completion.enabled:
        try:
            await server.rnj.completion_model().ready()
        except ModelError as error:
            log.warning("the model is not ready: %s", error)
    server.reporter.report(server.status())


async def take_settings(
    server: RnjServer, pushed: Any, problems: list[Problem] | None = None
) -> None:
    """Read the settings again: the editor's own answer if it can be asked, else what it sent.

    `problems` are those found before, in what the editor said at the start.
    """
    before = server.rnj.settings()
    editor = pushed.get("rnj", pushed) if isinstance(pushed, dict) else None
    if server.can_configure():
        items = [lsp.ConfigurationItem(section="rnj")]
        answer = await answered(
            server.workspace_configuration_async(lsp.ConfigurationParams(items))
        )
        editor = answer[0] if answer else None
    if isinstance(editor, dict):
        problems = server.rnj.configure(Layer("the editor's settings", editor))
    server.report_problems(problems or [])
    await offer_popup_later(server)
    after = server.rnj.settings()
    if _means_another_model(before, after):
        await _reload(server)
    elif before.completion.enabled != after.completion.enabled:
        server.reporter.report(server.status())


def _means_another_model(before: Settings, after: Settings) -> bool:
    return (before.model, before.host, before.completion.model) != (
        after.model,
        after.host,
        after.completion.model,
    )


async def save_journal(server: RnjServer) -> None:
    """Write the journal now and then, so that the terminal can show it."""
    while True:
        await asyncio.sleep(_SAVE_S)
        server.rnj.journal.save()


async def end_without(parent: int) -> None:
    """End the process when the editor that started it is gone without a word."""
    while psutil.pid_exists(parent):  # noqa: ASYNC110 - another process sets no event
        await asyncio.sleep(_PARENT_CHECK_S)
    os._exit(1)
