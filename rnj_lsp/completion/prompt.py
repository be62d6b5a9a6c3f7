"""The part of the file that the model sees, chosen so that the next prompt repeats it.

Consecutive prompts must share the longest possible run of tokens, because a shared run is in
the KV cache already. So the window around the cursor is *sticky*: its edges stay where they
are while the user types, and move in big steps, to a syntax boundary, only when they must.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from rnj_lsp.completion.suggestion import Place
from rnj_lsp.source.document import Document, Span
from rnj_lsp.source.edits import difference
from rnj_lsp.source.languages import language
from rnj_lsp.source.syntax import syntax

_PREFIX_SHARE = 0.75
"""Of the budget; what stands before the cursor tells more than what follows."""

_REFILL = 0.6
"""A moved edge leaves this share of its budget filled, so that it can stay for a while."""

_THIN = 0.25
"""An edge closer to the cursor than this share of its budget is moved away from it."""


@dataclass(frozen=True, slots=True)
class Window:
    """The span of a document that is in the prompt."""

    text: str
    """The document's text for which the span was chosen."""

    span: Span


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent to the model."""

    prefix: str
    """One comment line with the file's name, then the window up to the cursor."""

    suffix: str
    window: Window


def prompt(place: Place, budget_chars: int, previous: Window | None) -> Prompt:
    """Return the prompt for a place, with the edges of the previous window where they still do.

    `budget_chars` bounds prefix and suffix together; the name's line is not counted.
    """
    document, offset = place.document, place.offset
    before = max(1, int(budget_chars * _PREFIX_SHARE))
    after = max(1, budget_chars - before)
    old = _carried(previous, document) if previous else None
    boundaries: Sequence[int] | None = None
    start, end = (old.start, old.end) if old else (-1, -1)
    if not _start_holds(start, offset, before):
        boundaries = _boundaries(document)
        start = _new_start(document, offset, before, boundaries)
    if not _end_holds(end, offset, after, len(document.text)):
        boundaries = _boundaries(document) if boundaries is None else boundaries
        end = _new_end(document, offset, after, boundaries)
    return Prompt(
        prefix=_name_line(place) + document.text[start:offset],
        suffix=document.text[offset:end],
        window=Window(document.text, Span(start, end)),
    )


def _name_line(place: Place) -> str:
    spoken = language(place.document.language)
    return spoken.comment(place.name) + "\n" if place.name and spoken.line_comment else ""


def _carried(window: Window, document: Document) -> Span | None:
    """Return the window's span in the document's present text."""
    edit = difference(window.text, document.text)
    if edit is None:
        return window.span
    grown = len(edit.text) - (edit.span.end - edit.span.start)
    start, end = window.span.start, window.span.end
    if edit.span.end <= start and edit.span.start < start:
        start += grown
    elif edit.span.start < start:
        return None
    if edit.span.end <= end:
        end += grown
    elif edit.span.start < end:
        return None
    return Span(start, end)


def _start_holds(start: int, offset: int, budget: int) -> bool:
    if not 0 <= start <= offset:
        return False
    length = offset - start
    return length <= budget and (start == 0 or length >= budget * _THIN)


def _end_holds(end: int, offset: int, budget: int, size: int) -> bool:
    if not offset <= end <= size:
        return False
    length = end - offset
    return length <= budget and (end == size or length >= budget * _THIN)


def _new_start(document: Document, offset: int, budget: int, boundaries: Sequence[int]) -> int:
    if offset <= budget:
        return 0
    target = offset - int(budget * _REFILL)
    at = bisect_left(boundaries, target)
    if at < len(boundaries) and boundaries[at] <= offset - budget * _THIN:
        return boundaries[at]
    line = document.line_of(target)
    # A line longer than the budget is cut inside: there is no better edge.
    return document.line_span(line + 1).start if line < document.line_of(offset) else target


def _new_end(document: Document, offset: int, budget: int, boundaries: Sequence[int]) -> int:
    size = len(document.text)
    if size - offset <= budget:
        return size
    target = offset + int(budget * _REFILL)
    at = bisect_right(boundaries, target) - 1
    if at >= 0 and boundaries[at] >= offset + budget * _THIN:
        return boundaries[at]
    line = document.line_span(document.line_of(target)).start
    return line if line > offset else min(size, offset + budget)


def _boundaries(document: Document) -> Sequence[int]:
    parsed = syntax(document)
    return parsed.boundaries() if parsed else ()
