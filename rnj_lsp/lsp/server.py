"""The language server: its handlers, and nothing that they do not need to answer `initialize`."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import psutil
from lsprotocol import types as lsp
from lsprotocol.converters import get_converter
from pygls.lsp.server import LanguageServer

from rnj_lsp import __version__
from rnj_lsp.completion.journal import JOURNAL, Journal
from rnj_lsp.completion.suggestion import Trigger
from rnj_lsp.lsp import convert
from rnj_lsp.lsp.configuration import PROJECT_FILE
from rnj_lsp.lsp.protocol import Protocol
from rnj_lsp.lsp.status import Reporter, Status, status_of
from rnj_lsp.lsp.workspace import OpenModel, Workspace
from rnj_lsp.models.folders import cache_folder
from rnj_lsp.models.model import ModelError, ModelState
from rnj_lsp.settings import Layer, Problem, Settings
from rnj_lsp.source.document import Document, PositionEncoding, Span, UnknownDocumentError

log = logging.getLogger(__name__)

_PARENT_CHECK_S = 3.0
"""Seconds between two looks whether the editor still lives."""

_SAVE_S = 2.0
"""Seconds between two writes of the journal."""

_POPUP_TRIGGERS = [".", "(", "[", "{", ",", "=", ":", " "]

Result = TypeVar("Result")


class RnjServer(LanguageServer):
    """One editor's server."""

    def __init__(self, open_model: OpenModel) -> None:
        super().__init__(
            "rnj-lsp",
            __version__,
            protocol_cls=Protocol,
            converter_factory=get_converter,
        )
        self.folder = cache_folder()
        self.rnj = Workspace(open_model, self._on_state, Journal(self.folder / JOURNAL))
        self.reporter = Reporter(self, self.folder / "starter-told")
        self.encoding = PositionEncoding.UTF16
        self.accepted = 0
        self.startup_problems: list[Problem] = []
        self.popup_offered = False
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

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log what went wrong; the text of an error may hold the user's code, its kind does not."""
        log.error("%s in the protocol", type(error).__name__)

    def _on_state(self, spec: str, state: ModelState) -> None:
        self.reporter.report(self.status())


def build(open_model: OpenModel) -> RnjServer:
    """Return a server with every handler; it starts with `start_io` or `start_tcp`."""
    server = RnjServer(open_model)
    _life(server)
    _documents(server)
    _completion(server)
    _commands(server)
    return server


def _life(server: RnjServer) -> None:
    rnj = server.rnj

    @server.feature(lsp.INITIALIZE)
    def initialize(params: lsp.InitializeParams) -> None:
        server.encoding = convert.encoding_from_lsp(server.workspace.position_encoding)
        for uri in _roots(params):
            if path := convert.path_from_uri(uri):
                rnj.add_folder(Path(path))
        given = params.initialization_options
        options = Layer("the initialization options", given if isinstance(given, dict) else {})
        server.startup_problems = rnj.configure(options)
        if _offers_popup(server):
            _offer_popup(server)

    @server.feature(lsp.INITIALIZED)
    def initialized(params: lsp.InitializedParams) -> None:
        server.spawn(_save_journal(server))
        if server.process_id is not None:
            server.spawn(_end_without(server.process_id))
        server.spawn(_start(server))

    @server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def did_change_configuration(params: lsp.DidChangeConfigurationParams) -> None:
        server.spawn(_configure(server, params.settings))

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def did_change_folders(params: lsp.DidChangeWorkspaceFoldersParams) -> None:
        for folder in params.event.removed:
            rnj.remove_folder(Path(convert.path_from_uri(folder.uri)))
        for folder in params.event.added:
            rnj.add_folder(Path(convert.path_from_uri(folder.uri)))
        server.report_problems(rnj.configure())

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_files(params: lsp.DidChangeWatchedFilesParams) -> None:
        if any(change.uri.endswith("/" + PROJECT_FILE) for change in params.changes):
            server.report_problems(rnj.configure())

    @server.feature(lsp.SHUTDOWN)
    async def shutdown(*_: Any) -> None:
        for task in server.tasks:
            task.cancel()
        await rnj.close_models()
        rnj.journal.save()


def _documents(server: RnjServer) -> None:
    rnj = server.rnj

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: lsp.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        path = convert.path_from_uri(item.uri)
        rnj.documents.open(item.uri, path, item.language_id, item.version, item.text)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: lsp.DidChangeTextDocumentParams) -> None:
        changes = convert.changes_from_lsp(params.content_changes)
        try:
            rnj.documents.change(
                params.text_document.uri, params.text_document.version, changes, server.encoding
            )
        except UnknownDocumentError:
            log.warning("a document that was never opened has changed; the change is ignored")

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: lsp.DidCloseTextDocumentParams) -> None:
        rnj.close_document(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def did_save(params: lsp.DidSaveTextDocumentParams) -> None:
        if params.text_document.uri.endswith("/" + PROJECT_FILE):
            server.report_problems(rnj.configure())


def _completion(server: RnjServer) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_INLINE_COMPLETION, lsp.InlineCompletionOptions())
    @_guarded(list[lsp.InlineCompletionItem]())
    async def inline_completion(
        params: lsp.InlineCompletionParams,
    ) -> list[lsp.InlineCompletionItem]:
        document = server.rnj.documents.get(params.text_document.uri)
        if document is None:
            return []
        position = convert.position_from_lsp(params.position)
        offset = document.offset_at(position, server.encoding)
        seen, span, selected = document, Span(offset, offset), ""
        if chosen := params.context.selected_completion_info:
            # The suggestion must go on from the entry that is selected in the popup.
            span, selected = (
                convert.span_from_lsp(chosen.range, document, server.encoding),
                chosen.text,
            )
            text = document.text[: span.start] + selected + document.text[span.end :]
            seen, offset = document.with_text(text, document.version), span.start + len(selected)
        trigger = convert.trigger_from_lsp(params.context.trigger_kind)
        outcome = await server.rnj.suggest(server.rnj.place(seen, offset), trigger)
        if outcome.suggestion is None or _moved_on(server, document):
            return []
        text = selected + outcome.suggestion.text
        command = _accepted(document)
        return [convert.inline_item_to_lsp(text, span, document, server.encoding, command)]


def _offer_popup(server: RnjServer) -> None:
    """Register ordinary completion, for editors without ghost text."""
    server.popup_offered = True

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=_POPUP_TRIGGERS)
    )
    @_guarded(lsp.CompletionList(is_incomplete=True, items=[]))
    async def completion(params: lsp.CompletionParams) -> lsp.CompletionList:
        document = server.rnj.documents.get(params.text_document.uri)
        items = list[lsp.CompletionItem]()
        if document is not None and _offers_popup(server):
            position = convert.position_from_lsp(params.position)
            offset = document.offset_at(position, server.encoding)
            place = server.rnj.place(document, offset)
            outcome = await server.rnj.suggest(place, Trigger.AUTOMATIC)
            if outcome.suggestion is not None and not _moved_on(server, document):
                name = server.rnj.completion_model().info.name
                items.append(
                    convert.popup_item_to_lsp(
                        outcome.suggestion, document, server.encoding, name, _accepted(document)
                    )
                )
        # Incomplete, because the next character can lead the model elsewhere.
        return lsp.CompletionList(is_incomplete=True, items=items)


def _commands(server: RnjServer) -> None:
    rnj = server.rnj

    @server.command("rnj.status")
    def status(*_: Any) -> dict[str, Any]:
        return asdict(server.status()) | {"accepted": server.accepted, "version": __version__}

    @server.command("rnj.why")
    def why(*arguments: Any) -> dict[str, Any]:
        document = rnj.documents.get(arguments[0]) if arguments else None
        name = rnj.place(document, 0).name if document else None
        entries = rnj.journal.latest(name)
        message = entries[0].explanation if entries else "nothing has been asked here yet"
        server.window_show_message(
            lsp.ShowMessageParams(lsp.MessageType.Info, f"rnj-lsp: {message}")
        )
        return {"message": message, "entries": [asdict(entry) for entry in entries[:20]]}

    @server.command("rnj.accepted")
    def accepted(*_: Any) -> None:
        server.accepted += 1

    @server.command("rnj.model.pull")
    async def pull(*arguments: Any) -> dict[str, str]:
        return await _on_models(server, _pull(server, _named(arguments)))

    @server.command("rnj.model.select")
    async def select(*arguments: Any) -> dict[str, str]:
        return await _on_models(server, _select(server, _named(arguments)))


async def _on_models(server: RnjServer, work: Awaitable[str]) -> dict[str, str]:
    """Do something with the models; its end is both the answer and a message."""
    try:
        message = await work
    except ModelError as error:
        server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Error, str(error)))
        return {"error": str(error)}
    server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Info, message))
    return {"message": message}


async def _pull(server: RnjServer, name: str) -> str:
    from rnj_lsp.models.download import pull

    loop = asyncio.get_running_loop()
    async with server.reporter.task(f"rnj-lsp: downloading {name}") as report:

        def on_progress(done_bytes: int, total_bytes: int) -> None:
            loop.call_soon_threadsafe(report, done_bytes, total_bytes)

        path = await asyncio.to_thread(pull, name, on_progress)
    await _reload(server)
    return f"{path.name} is downloaded"


async def _select(server: RnjServer, name: str) -> str:
    from rnj_lsp.models.library import use

    chosen = use(name)
    await _reload(server)
    return f"auto now means {chosen}"


async def _reload(server: RnjServer) -> None:
    """Open the models again, because `auto` may mean another one now."""
    await server.rnj.close_models()
    await _load(server)


def _named(arguments: tuple[Any, ...]) -> str:
    return str(arguments[0]) if arguments else "rnj-1-instruct"


async def _start(server: RnjServer) -> None:
    """Take the settings that the editor holds, report bad ones, and load the model."""
    if _can_configure(server):
        await _configure(server, None, server.startup_problems)
    else:
        server.report_problems(server.startup_problems)
    if _can_watch(server):
        watcher = lsp.FileSystemWatcher(glob_pattern=f"**/{PROJECT_FILE}")
        options = lsp.DidChangeWatchedFilesRegistrationOptions(watchers=[watcher])
        registration = lsp.Registration(
            "rnj-project-file", lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, options
        )
        await server.client_register_capability_async(lsp.RegistrationParams([registration]))
    await _load(server)


async def _load(server: RnjServer) -> None:
    """Load the completion model before it is needed."""
    if server.rnj.settings().completion.enabled:
        try:
            await server.rnj.completion_model().ready()
        except ModelError as error:
            log.warning("the model is not ready: %s", error)
    server.reporter.report(server.status())


async def _configure(server: RnjServer, pushed: Any, problems: list[Problem] | None = None) -> None:
    """Read the settings again: the editor's own answer if it can be asked, else what it sent.

    `problems` are those found before, in what the editor said at the start.
    """
    before = server.rnj.settings()
    editor = pushed.get("rnj", pushed) if isinstance(pushed, dict) else None
    if _can_configure(server):
        items = [lsp.ConfigurationItem(section="rnj")]
        answer = await server.workspace_configuration_async(lsp.ConfigurationParams(items))
        editor = answer[0] if answer else None
    if isinstance(editor, dict):
        problems = server.rnj.configure(Layer("the editor's settings", editor))
    server.report_problems(problems or [])
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


async def _save_journal(server: RnjServer) -> None:
    while True:
        await asyncio.sleep(_SAVE_S)
        server.rnj.journal.save()


async def _end_without(parent: int) -> None:
    """End the process when the editor that started it is gone without a word."""
    while psutil.pid_exists(parent):  # noqa: ASYNC110 - another process sets no event
        await asyncio.sleep(_PARENT_CHECK_S)
    os._exit(1)


def _guarded(
    nothing: Result,
) -> Callable[[Callable[[Any], Awaitable[Result]]], Callable[[Any], Awaitable[Result]]]:
    """Answer `nothing` when a handler fails: a defect of ours must not disturb who types."""

    def wrap(handler: Callable[[Any], Awaitable[Result]]) -> Callable[[Any], Awaitable[Result]]:
        @functools.wraps(handler)
        async def guarded(params: Any) -> Result:
            try:
                return await handler(params)
            except Exception:
                log.exception("a handler failed; please report this")
                return nothing

        return guarded

    return wrap


def _accepted(document: Document) -> lsp.Command:
    return lsp.Command("Suggestion accepted", "rnj.accepted", arguments=[document.uri])


def _moved_on(server: RnjServer, document: Document) -> bool:
    return server.rnj.documents.get(document.uri) is not document


def _roots(params: lsp.InitializeParams) -> list[str]:
    if params.workspace_folders:
        return [folder.uri for folder in params.workspace_folders]
    if params.root_uri:
        return [params.root_uri]
    return [Path(params.root_path).as_uri()] if params.root_path else []


def _offers_popup(server: RnjServer) -> bool:
    popup = server.rnj.settings().completion.popup
    document = server.client_capabilities.text_document
    ghost_text = document is not None and document.inline_completion is not None
    return popup == "always" or (popup == "auto" and not ghost_text)


def _can_configure(server: RnjServer) -> bool:
    workspace = server.client_capabilities.workspace
    return bool(workspace and workspace.configuration)


def _can_watch(server: RnjServer) -> bool:
    workspace = server.client_capabilities.workspace
    watched = workspace.did_change_watched_files if workspace else None
    return bool(watched and watched.dynamic_registration)
