r"""Documents: immutable texts with a line index, and the set of those that are open.

Lines end at `\n`, `\r\n` and `\r` and nowhere else, as the protocol says; `str.splitlines` also
breaks at form feeds, `\x85` and `\u2028`, and an edit to such a file would land in a wrong place.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnj_lsp.source.syntax import Syntax

__all__ = [
    "Document",
    "Documents",
    "Position",
    "PositionEncoding",
    "Span",
    "TextChange",
    "UnknownDocumentError",
]


class PositionEncoding(StrEnum):
    """The unit in which a `Position` counts the characters of a line."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a document as the protocol writes it."""

    line: int
    """The line, from 0."""

    character: int
    """The distance from the start of the line, in units of a `PositionEncoding`."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of code-point offsets."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __contains__(self, offset: int) -> bool:
        return self.start <= offset < self.end


@dataclass(frozen=True, slots=True)
class TextChange:
    """A change of a document's text: `text` in place of `start` to `end`, or of everything."""

    text: str
    start: Position | None = None
    """Where the replaced text starts; None, with `end` None too, replaces the whole text."""

    end: Position | None = None
    """Where it ends. One of the two alone is an insertion; the wrong order is put right."""


@dataclass(frozen=True, eq=False)
class Document:
    """One version of one file's text.

    Offsets count code points. No method raises on an offset or a position that lies outside of
    the text: it is clamped to the nearest place inside.
    """

    uri: str
    path: str
    """The absolute path of the file; empty when the document is no file."""

    language: str
    """The protocol's language identifier, as the editor sent it."""

    version: int
    text: str

    _parsed: Syntax | None = field(default=None, repr=False)
    """The latest known parse, of this text or of an earlier one; `syntax` alone reads and sets it.

    It holds a text and a tree but no document, so a chain of versions is never kept alive.
    """

    @property
    def line_count(self) -> int:
        """The number of lines; an empty text has one, and so has what follows a last line break."""
        return len(self._starts)

    @cached_property
    def eol(self) -> str:
        r"""The line ending that most lines have: `\n`, `\r\n` or `\r`; `\n` when there are none."""
        crlf = self.text.count("\r\n")
        lf = self.text.count("\n") - crlf
        cr = self.text.count("\r") - crlf
        return max(((lf, "\n"), (crlf, "\r\n"), (cr, "\r")), key=lambda ending: ending[0])[1]

    def line_of(self, offset: int) -> int:
        """Return the line that holds `offset`; a line break belongs to the line it ends."""
        return max(0, bisect_right(self._starts, offset) - 1)

    def line_span(self, line: int) -> Span:
        """Return the span of a line without its line break; a line outside is clamped."""
        line = min(max(line, 0), self.line_count - 1)
        start = self._starts[line]
        if line + 1 == self.line_count:
            return Span(start, len(self.text))
        end = self._starts[line + 1] - 1
        if end > start and self.text[end] == "\n" and self.text[end - 1] == "\r":
            end -= 1
        return Span(start, end)

    def line_text(self, line: int) -> str:
        """Return the text of a line without its line break; a line outside is clamped."""
        span = self.line_span(line)
        return self.text[span.start : span.end]

    def offset_at(self, position: Position, encoding: PositionEncoding) -> int:
        """Return the offset of a position.

        A negative line means the start of the text, a line beyond the last one its end, a
        character beyond the line the place before its line break. A position inside a surrogate
        pair or a UTF-8 sequence means the start of that character.
        """
        if position.line < 0:
            return 0
        if position.line >= self.line_count:
            return len(self.text)
        span = self.line_span(position.line)
        units = position.character
        return span.start + _characters(self.text[span.start : span.end], units, encoding)

    def position_at(self, offset: int, encoding: PositionEncoding) -> Position:
        r"""Return the position of an offset; between `\r` and `\n` it is the one before both."""
        offset = min(max(offset, 0), len(self.text))
        line = self.line_of(offset)
        span = self.line_span(line)
        before = self.text[span.start : min(offset, span.end)]
        return Position(line, _units(before, encoding))

    def changed(
        self, changes: Sequence[TextChange], version: int, encoding: PositionEncoding
    ) -> Document:
        """Return the document after `changes`, each made to the result of the one before it."""
        if len(changes) != 1:
            return self.with_text(_text_after(self.text, changes, encoding), version)
        change = changes[0]
        ends = _ends(change)
        if ends is None:
            return self.with_text(change.text, version)
        start, end = (self.offset_at(position, encoding) for position in ends)
        return self.with_text(self.text[:start] + change.text + self.text[end:], version)

    def with_text(self, text: str, version: int) -> Document:
        """Return the document with another text, as `version`."""
        return Document(self.uri, self.path, self.language, version, text, self._parsed)

    @cached_property
    def _starts(self) -> list[int]:
        """The offsets at which lines start."""
        if "\r" in self.text:
            return [0, *(match.end() for match in _LINE_BREAK.finditer(self.text))]
        starts = [0]
        place = self.text.find("\n")
        while place >= 0:
            starts.append(place + 1)
            place = self.text.find("\n", place + 1)
        return starts


class UnknownDocumentError(KeyError):
    """A document was changed that is not open."""

    def __str__(self) -> str:
        return str(self.args[0])


class Documents:
    """The open documents, each in its latest version. Iterating gives the documents."""

    def __init__(self) -> None:
        self._open: dict[str, Document] = {}

    def open(self, uri: str, path: str, language: str, version: int, text: str) -> Document:
        """Add a document and return it; one that is open already is replaced."""
        document = Document(uri, path, language, version, text)
        self._open[uri] = document
        return document

    def change(
        self, uri: str, version: int, changes: Sequence[TextChange], encoding: PositionEncoding
    ) -> Document:
        """Make `changes` to an open document and return its new version.

        Changes are always made, in the order in which they arrive, also when `version` is not
        newer than the last: each builds on the editor's text before it, and leaving one out would
        lose that text for good. The document carries the number that the editor gave.
        Raises UnknownDocumentError when the document is not open.
        """
        document = self._open.get(uri)
        if document is None:
            raise UnknownDocumentError(
                f"{uri} was changed but is not open: the editor must send didOpen before didChange."
            )
        document = document.changed(changes, version, encoding)
        self._open[uri] = document
        return document

    def close(self, uri: str) -> None:
        """Forget a document; one that is not open is no error."""
        self._open.pop(uri, None)

    def get(self, uri: str) -> Document | None:
        """Return an open document, or None."""
        return self._open.get(uri)

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, uri: object) -> bool:
        return uri in self._open


_LINE_BREAK = re.compile(r"\r\n?|\n")
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+\Z")


def _ends(change: TextChange) -> tuple[Position, Position] | None:
    start = change.start or change.end
    end = change.end or change.start
    if start is None or end is None:
        return None
    return min(start, end), max(start, end)


def _text_after(text: str, changes: Sequence[TextChange], encoding: PositionEncoding) -> str:
    # "Replace all" sends thousands of changes at once. A list of lines takes each of them for the
    # price of its own lines, where whole texts would be copied and indexed anew every time.
    lines = _lines(text)
    for change in changes:
        ends = _ends(change)
        if ends is None:
            lines = _lines(change.text)
            continue
        (first, start), (last, end) = (_place(lines, position, encoding) for position in ends)
        touched = lines[first][:start] + change.text + lines[last][end:]
        if first and touched.startswith("\n") and lines[first - 1].endswith("\r"):
            first -= 1
            touched = lines[first] + touched
        replacement = _lines(touched)
        if last + 1 < len(lines):  # Then `touched` ends with a line break of its own.
            replacement.pop()
        lines[first : last + 1] = replacement
    return "".join(lines)


def _lines(text: str) -> list[str]:
    """Return the lines with their line breaks; the last has none and may be empty."""
    lines: list[str] = _LINE.findall(text)
    if not lines or lines[-1].endswith(("\n", "\r")):
        lines.append("")
    return lines


def _place(lines: list[str], position: Position, encoding: PositionEncoding) -> tuple[int, int]:
    """Return the line and the code points before `position` in it, clamped like `offset_at`."""
    if position.line < 0:
        return 0, 0
    if position.line >= len(lines):
        return len(lines) - 1, len(lines[-1])
    line = lines[position.line]
    return position.line, _characters(line.rstrip("\r\n"), position.character, encoding)


def _characters(line: str, units: int, encoding: PositionEncoding) -> int:
    """Return how many characters of `line` fit into `units`."""
    low, high = 0, min(max(units, 0), len(line))
    if encoding is PositionEncoding.UTF32 or line.isascii():
        return high
    # Every round halves the part that is still unknown, so that a line is encoded about once.
    while low < high:
        middle = (low + high + 1) // 2
        size = _units(line[low:middle], encoding)
        if size <= units:
            low, units = middle, units - size
        else:
            high = middle - 1
    return low


def _units(text: str, encoding: PositionEncoding) -> int:
    if encoding is PositionEncoding.UTF32 or text.isascii():
        return len(text)
    # A file may hold half of a surrogate pair; it counts as one unit of UTF-16, three of UTF-8.
    if encoding is PositionEncoding.UTF16:
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text.encode("utf-8", "surrogatepass"))
