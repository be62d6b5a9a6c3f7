"""Ends a streamed answer as soon as it is complete, so that the model stops early."""

from __future__ import annotations

import re

from rnj_lsp.completion.suggestion import Extent
from rnj_lsp.source.cursor import opens_block, scope_end
from rnj_lsp.source.document import Document
from rnj_lsp.source.languages import language
from rnj_lsp.source.scope_end import unclosed

_MOST_LINES = 24
"""More lines at once are hardly read, and cost seconds on a small machine."""

_EQUAL_LINES = 3
"""As many equal lines in a row are a model that has lost itself."""

_TELLING = 4
"""Characters of a line below that make its repetition a sign; `}` or `end` come again rightly."""


class Cut:
    """Follows one answer while it is generated and says when it is complete.

    Feed it pieces of text; `text` is the part to keep so far. It cuts at the end of the line,
    or for a block at the end of the scope in which the cursor stands, found by parsing the
    file with the answer in it. It also cuts where the answer repeats the line below or itself.
    """

    def __init__(self, document: Document, offset: int, extent: Extent) -> None:
        self._document = document
        self._offset = offset
        self._extent = extent
        self._text = ""
        self._checked = 0
        self._kept: int | None = None
        self._below = _line_below(document, offset)
        line = document.line_span(document.line_of(offset))
        self._left = document.text[line.start : offset]

    @property
    def text(self) -> str:
        """The answer so far, cut where it is complete."""
        return self._text if self._kept is None else self._text[: self._kept]

    def feed(self, piece: str) -> bool:
        """Add a piece of the answer; return True when the answer is complete."""
        self._text += piece
        if self._kept is None:
            self._kept = _before_loop(self._text)
        while self._kept is None:
            newline = self._text.find("\n", self._checked)
            if newline < 0:
                break
            self._line_ended(newline)
            self._checked = newline + 1
        return self._kept is not None

    def finish(self) -> str:
        """Return the answer after the model has ended it, cut to the scope."""
        if self._kept is None and self._extent is Extent.BLOCK:
            self._cut_to_scope(self._text)
        return self.text

    def _line_ended(self, newline: int) -> None:
        """Decide at the end of a generated line whether the answer ends there."""
        lines = self._text[:newline].split("\n")
        line = lines[-1]
        if not self._text[:newline].strip():
            # The answer may begin on the next line, but only where this one is complete.
            if self._extent is Extent.ONE_LINE or not self._left.strip():
                self._kept = newline
            return
        stripped = line.strip()
        if len(lines) > 1 and len(stripped) >= _TELLING and stripped == self._below:
            self._kept = newline - len(line) - 1
        elif stripped and _equal(lines[-_EQUAL_LINES:]):
            self._kept = len("\n".join(lines[: 1 - _EQUAL_LINES]))
        elif len(lines) >= _MOST_LINES or not self._goes_on(newline):
            self._kept = newline
        else:
            self._extent = Extent.BLOCK
            self._cut_to_scope(self._text)

    def _goes_on(self, newline: int) -> bool:
        """Return whether more lines may follow: in a block, or where a bracket is still open."""
        if self._extent is Extent.BLOCK:
            return True
        if self._extent is Extent.ONE_LINE:
            return False
        line, document, offset = self._text[:newline], self._document, self._offset
        if unclosed(line, language(document.language)):
            return True
        text = document.text[:offset] + line + document.text[offset:]
        return opens_block(document.with_text(text, document.version), offset + newline)

    def _cut_to_scope(self, text: str) -> None:
        end = scope_end(self._document, self._offset, text)
        if end < len(text.rstrip()):
            self._kept = end


_LOOP = re.compile(r"(?P<short>\S.{2,15}?)(?P=short){5}|(?P<long>\S.{15,80}?)(?P=long){3}")
"""As often again nobody writes it: the bounds are Tabby's, from its filter of line ends."""

_TAIL = 400


def _before_loop(text: str) -> int | None:
    """Return how much of a text is left when what it says again and again is said once.

    None where it says nothing so often. Rows of numbers and rulers are no loops. A loop shows
    that a model does not find the end, not that its first words are wrong.
    """
    match = _LOOP.search(text, max(0, len(text) - _TAIL))
    if match is None:
        return None
    said = match["short"] or match["long"]
    if not any(character.isalpha() for character in said):
        return None
    return len(text[: match.start() + len(said)].rstrip(" \t,;"))


def _equal(lines: list[str]) -> bool:
    """Return whether these are enough lines, and all the same."""
    return len(lines) == _EQUAL_LINES and len({line.strip() for line in lines}) == 1


def _line_below(document: Document, offset: int) -> str:
    """Return the next line with something on it, stripped, or an empty text."""
    for line in range(document.line_of(offset) + 1, document.line_count):
        stripped = document.line_text(line).strip()
        if stripped:
            return stripped
    return ""
