"""Text with a cursor: `‸` is the cursor, `├…┤` is inserted text."""

from __future__ import annotations

from rnj_lsp.completion.suggestion import Place
from rnj_lsp.source.document import Document

CURSOR = "‸"


def document(marked: str, language: str = "python", name: str = "app.py") -> tuple[Document, int]:
    """Return a document without the cursor, and where the cursor was."""
    assert marked.count(CURSOR) == 1, "exactly one cursor"
    offset = marked.index(CURSOR)
    text = marked.replace(CURSOR, "")
    return Document(f"file:///project/{name}", f"/project/{name}", language, 1, text), offset


def place(marked: str, language: str = "python", name: str = "app.py") -> Place:
    """Return a cursor in a document of a project."""
    made, offset = document(marked, language, name)
    return Place(made, offset, name)


def inserted(text: str, offset: int, suggestion: str) -> str:
    """Return a text with a suggestion in it, marked."""
    return f"{text[:offset]}├{suggestion}┤{text[offset:]}"
