"""Texts with a cursor: `‸` marks where it is."""

from __future__ import annotations

from rnj_lsp.source import Document, Syntax, syntax


def at_cursor(marked: str) -> tuple[str, int]:
    """Return the text without its `‸`, and the offset where it was."""
    before, _, after = marked.partition("‸")
    return before + after, len(before)


def document(text: str, language: str = "plaintext") -> Document:
    """Return a document of `text`, version 1."""
    return Document("file:///project/x", "/project/x", language, 1, text)


def parsed(text: str, language: str) -> Syntax:
    """Return the syntax of `text`; the language has a grammar."""
    result = syntax(document(text, language))
    assert result is not None
    return result
