"""Conversions between the protocol's types and ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lsprotocol import types as lsp
from pygls.uris import to_fs_path

from rnj_lsp.completion.suggestion import Suggestion, Trigger
from rnj_lsp.source.document import Document, Position, PositionEncoding, Span, TextChange


def path_from_uri(uri: str) -> str:
    """Return the file's absolute path, or an empty text when the URI names no file."""
    return (to_fs_path(uri) or "") if uri.startswith("file:") else ""


def encoding_from_lsp(kind: lsp.PositionEncodingKind | str | None) -> PositionEncoding:
    """Return the unit of positions; UTF-16 when the client does not say."""
    value = kind.value if isinstance(kind, lsp.PositionEncodingKind) else kind
    return PositionEncoding(value) if value else PositionEncoding.UTF16


def changes_from_lsp(changes: Sequence[Any]) -> list[TextChange]:
    """Return the changes of a `didChange` notification, in its order."""
    return [
        TextChange(
            change.text,
            position_from_lsp(change.range.start),
            position_from_lsp(change.range.end),
        )
        if isinstance(change, lsp.TextDocumentContentChangePartial)
        else TextChange(change.text)
        for change in changes
    ]


def position_from_lsp(position: lsp.Position) -> Position:
    """Return a position; its unit is the negotiated encoding."""
    return Position(position.line, position.character)


def span_from_lsp(range_: lsp.Range, document: Document, encoding: PositionEncoding) -> Span:
    """Return the span of a range, clamped to the document."""
    start = document.offset_at(position_from_lsp(range_.start), encoding)
    end = document.offset_at(position_from_lsp(range_.end), encoding)
    return Span(min(start, end), max(start, end))


def range_to_lsp(span: Span, document: Document, encoding: PositionEncoding) -> lsp.Range:
    """Return the range of a span."""
    start, end = (document.position_at(at, encoding) for at in (span.start, span.end))
    return lsp.Range(
        lsp.Position(start.line, start.character), lsp.Position(end.line, end.character)
    )


def trigger_from_lsp(kind: lsp.InlineCompletionTriggerKind) -> Trigger:
    """Return whether the user asked or only typed."""
    asked = kind is lsp.InlineCompletionTriggerKind.Invoked
    return Trigger.INVOKED if asked else Trigger.AUTOMATIC


def inline_item_to_lsp(
    text: str, span: Span, document: Document, encoding: PositionEncoding, command: lsp.Command
) -> lsp.InlineCompletionItem:
    """Return ghost text. A range is always set: without one some editors double what was typed."""
    return lsp.InlineCompletionItem(
        insert_text=text, range=range_to_lsp(span, document, encoding), command=command
    )


def popup_item_to_lsp(
    suggestion: Suggestion,
    document: Document,
    encoding: PositionEncoding,
    model: str,
    command: lsp.Command,
) -> lsp.CompletionItem:
    """Return a suggestion as an ordinary completion item that filters by the word typed so far."""
    offset = suggestion.span.start
    line = document.line_span(document.line_of(offset))
    match = re.search(r"\w+$", document.text[line.start : offset])
    word = match[0] if match else ""
    text = word + suggestion.text
    first = next(part.strip() for part in text.splitlines() if part.strip())
    more = len(text.strip().splitlines()) - 1
    return lsp.CompletionItem(
        label=first if not more else f"{first} …",
        label_details=lsp.CompletionItemLabelDetails(description=model),
        kind=lsp.CompletionItemKind.Text,
        documentation=lsp.MarkupContent(
            lsp.MarkupKind.Markdown, f"```{document.language}\n{text}\n```"
        ),
        filter_text=word or first,
        insert_text_format=lsp.InsertTextFormat.PlainText,
        insert_text_mode=lsp.InsertTextMode.AsIs,
        text_edit=lsp.TextEdit(
            range_to_lsp(Span(offset - len(word), suggestion.span.end), document, encoding), text
        ),
        command=command,
    )
