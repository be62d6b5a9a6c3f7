"""Suggestions as ghost text, and as ordinary completion items for editors without it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from lsprotocol import types as lsp

from rnj_lsp.completion.suggestion import Outcome, Place, Trigger
from rnj_lsp.lsp import convert
from rnj_lsp.lsp.server import RnjServer, answered
from rnj_lsp.source.document import Document, Span

log = logging.getLogger(__name__)

_POPUP_TRIGGERS = [".", "(", "[", "{", ",", "=", ":", " "]

Result = TypeVar("Result")


def offer_ghost_text(server: RnjServer) -> None:
    """Register inline completion."""

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
        outcome = await _suggest(server, server.rnj.place(seen, offset), trigger)
        if outcome.suggestion is None or _moved_on(server, document):
            return []
        text = selected + outcome.suggestion.text
        command = _accepted(document)
        return [convert.inline_item_to_lsp(text, span, document, server.encoding, command)]


def offer_popup(server: RnjServer) -> None:
    """Register ordinary completion, for editors without ghost text."""
    server.popup_offered = True

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=_POPUP_TRIGGERS)
    )
    @_guarded(lsp.CompletionList(is_incomplete=True, items=[]))
    async def completion(params: lsp.CompletionParams) -> lsp.CompletionList:
        document = server.rnj.documents.get(params.text_document.uri)
        items = list[lsp.CompletionItem]()
        if document is not None and server.offers_popup():
            position = convert.position_from_lsp(params.position)
            offset = document.offset_at(position, server.encoding)
            place = server.rnj.place(document, offset)
            outcome = await _suggest(server, place, Trigger.AUTOMATIC)
            if outcome.suggestion is not None and not _moved_on(server, document):
                name = server.rnj.completion_model().info.name
                items.append(
                    convert.popup_item_to_lsp(
                        outcome.suggestion, document, server.encoding, name, _accepted(document)
                    )
                )
        # Incomplete, because the next character can lead the model elsewhere.
        return lsp.CompletionList(is_incomplete=True, items=items)


async def offer_popup_later(server: RnjServer) -> None:
    """Offer completion items when a setting asks for them after the start, if the client can."""
    if not server.offers_popup() or server.popup_offered or not server.can_register_completion():
        return
    offer_popup(server)
    options = lsp.CompletionRegistrationOptions(trigger_characters=_POPUP_TRIGGERS)
    registration = lsp.Registration("rnj-popup", lsp.TEXT_DOCUMENT_COMPLETION, options)
    await answered(server.client_register_capability_async(lsp.RegistrationParams([registration])))


async def _suggest(server: RnjServer, place: Place, trigger: Trigger) -> Outcome:
    """Return a suggestion made with the editor's own settings, once these are known."""
    await server.settled.wait()
    return await server.rnj.suggest(place, trigger)


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
