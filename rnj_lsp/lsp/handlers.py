"""The handlers of the language server: each converts, calls, and converts back."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp

from rnj_lsp import __version__
from rnj_lsp.lsp import convert
from rnj_lsp.lsp.background import (
    end_without,
    pull_model,
    save_journal,
    select_model,
    start,
    take_settings,
    tell_the_end,
)
from rnj_lsp.lsp.completion import offer_ghost_text, offer_popup
from rnj_lsp.lsp.configuration import PROJECT_FILE
from rnj_lsp.lsp.server import RnjServer
from rnj_lsp.lsp.workspace import OpenModel
from rnj_lsp.settings import Layer
from rnj_lsp.source.document import UnknownDocumentError

log = logging.getLogger(__name__)


def build(open_model: OpenModel) -> RnjServer:
    """Return a server with every handler; it starts with `start_io` or `start_tcp`."""
    server = RnjServer(open_model)
    _life(server)
    _documents(server)
    offer_ghost_text(server)
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
        if server.offers_popup():
            offer_popup(server)

    @server.feature(lsp.INITIALIZED)
    def initialized(params: lsp.InitializedParams) -> None:
        server.spawn(save_journal(server))
        if server.process_id is not None:
            server.spawn(end_without(server.process_id))
        server.spawn(start(server))

    @server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def did_change_configuration(params: lsp.DidChangeConfigurationParams) -> None:
        server.spawn(take_settings(server, params.settings))

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def did_change_folders(params: lsp.DidChangeWorkspaceFoldersParams) -> None:
        for folder in params.event.removed:
            if path := convert.path_from_uri(folder.uri):
                rnj.remove_folder(Path(path))
        for folder in params.event.added:
            if path := convert.path_from_uri(folder.uri):
                rnj.add_folder(Path(path))
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
        return await tell_the_end(server, pull_model(server, _named(arguments)))

    @server.command("rnj.model.select")
    async def select(*arguments: Any) -> dict[str, str]:
        return await tell_the_end(server, select_model(server, _named(arguments)))


def _roots(params: lsp.InitializeParams) -> list[str]:
    if params.workspace_folders:
        return [folder.uri for folder in params.workspace_folders]
    if params.root_uri:
        return [params.root_uri]
    return [Path(params.root_path).as_uri()] if params.root_path else []


def _named(arguments: tuple[Any, ...]) -> str:
    """Return the model that a command names; the real Rnj-1 when it names none."""
    return str(arguments[0]) if arguments else "rnj-1-instruct"
