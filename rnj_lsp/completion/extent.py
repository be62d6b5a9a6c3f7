"""How much to suggest at a place: the rest of the line, or a block."""

from __future__ import annotations

from typing import Literal

from rnj_lsp.completion.suggestion import Extent
from rnj_lsp.source.cursor import in_comment, opens_block
from rnj_lsp.source.document import Document
from rnj_lsp.source.syntax import syntax

_CLOSING = frozenset(")]}>\"'`;,: \t")
"""What may stand right of the cursor and still be only the end of what is being written."""


def extent_at(
    document: Document, offset: int, multiline: Literal["auto", "never", "always"]
) -> Extent:
    """Return how much a suggestion at this place may hold.

    A block is wanted where the syntax opens one that is still empty, and on an empty line
    between declarations. In the middle of a line only the line is completed.
    """
    line = document.line_span(document.line_of(offset))
    right = document.text[offset : line.end]
    if multiline == "never" or right.strip():
        only_closers = all(character in _CLOSING for character in right)
        return Extent.LINE if multiline != "never" and only_closers else Extent.ONE_LINE
    if multiline == "always":
        return Extent.BLOCK
    parsed = syntax(document)
    if in_comment(document, offset) or (parsed is not None and parsed.in_string(offset)):
        return Extent.ONE_LINE
    return Extent.BLOCK if opens_block(document, offset) else Extent.LINE
