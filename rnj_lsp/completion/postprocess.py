"""Filters between the model's answer and the suggestion: small, pure, each with one purpose.

A filter takes a `Draft` and returns a better one, or the `Reason` why nothing is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from rnj_lsp.completion.suggestion import Reason
from rnj_lsp.source.document import Document
from rnj_lsp.source.languages import language
from rnj_lsp.source.scope_end import unclosed
from rnj_lsp.source.syntax import Syntax, syntax


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer on its way to becoming a suggestion."""

    document: Document
    offset: int
    text: str

    @property
    def left(self) -> str:
        """The cursor's line before the cursor."""
        line = self.document.line_span(self.document.line_of(self.offset))
        return self.document.text[line.start : self.offset]

    @property
    def right(self) -> str:
        """The cursor's line after the cursor."""
        line = self.document.line_span(self.document.line_of(self.offset))
        return self.document.text[self.offset : line.end]


Filter = Callable[[Draft], Draft | Reason]


def postprocess(draft: Draft) -> Draft | Reason:
    """Run every filter in order; the first reason ends it."""
    return _run(draft, FILTERS)


def repeat(draft: Draft) -> Draft | Reason:
    """Run only the filters that depend on what follows the cursor, for a cached answer."""
    return _run(draft, (suffix_once, not_empty))


def _run(draft: Draft, filters: tuple[Filter, ...]) -> Draft | Reason:
    for each in filters:
        result = each(draft)
        if isinstance(result, Reason):
            return result
        draft = result
    return draft


_SENTINEL = re.compile(
    r"<\|[a-z][a-z_]{2,24}\|>|</?tool_call>|<(?:fim_(?:prefix|suffix|middle)|file_sep|EOT|PRE|SUF|MID)>"
    r"|\[(?:SUFFIX|PREFIX|MIDDLE)\]|<｜[^｜]{3,30}｜>|<\[fim-(?:prefix|suffix|middle)\]>"
)


def without_sentinels(draft: Draft) -> Draft | Reason:
    """Cut where a model's control token appears as text, unless the file itself speaks of it."""
    for match in _SENTINEL.finditer(draft.text):
        if match[0] not in draft.document.text:
            kept = draft.text[: match.start()]
            return replace(draft, text=kept) if kept.strip() else Reason.SENTINEL
    return draft


def one_line_ending(draft: Draft) -> Draft | Reason:
    """Bring the line endings to the document's."""
    text = draft.text.replace("\r\n", "\n").replace("\r", "\n")
    return replace(
        draft, text=text if draft.document.eol == "\n" else text.replace("\n", draft.document.eol)
    )


def trimmed(draft: Draft) -> Draft | Reason:
    """Drop white space at the ends of lines that the suggestion writes, and at its end."""
    eol = draft.document.eol
    lines = draft.text.split(eol)
    # White space before code that follows on the same line belongs to the user's layout.
    last = lines[-1] if draft.right.strip() else lines[-1].rstrip()
    first = [line.rstrip() for line in lines[:-1]]
    text = eol.join([*first, last])
    return replace(draft, text=text if draft.right.strip() else text.rstrip())


def not_empty(draft: Draft) -> Draft | Reason:
    """Refuse white space."""
    return draft if draft.text.strip() else Reason.EMPTY


def indented(draft: Draft) -> Draft | Reason:
    """Give the first line the indentation that the cursor already has, and the rest the file's.

    On a blank line the cursor may stand behind some or all of the indentation; a model often
    writes the indentation again. What is there already is taken off the answer.
    """
    text = draft.text
    left = draft.left
    if left and not left.strip():
        own = text[: len(text) - len(text.lstrip(" \t"))]
        if own.startswith(left):
            text = text[len(left) :]
        elif own:
            text = text.lstrip(" \t")
    if "\t" in left or _uses_tabs(draft.document):
        text = _tabs(text)
    return replace(draft, text=text)


def spaced_once(draft: Draft) -> Draft | Reason:
    """Drop blanks at the start where the cursor stands behind one, as in `return ‸`.

    In front of a comment at the end of a line two blanks are common, so there they stay.
    """
    left, text = draft.left, draft.text.lstrip(" \t")
    marks = language(draft.document.language).line_comment
    if not left.strip() or left[-1] not in " \t" or (marks and text.startswith(marks[0])):
        return draft
    return replace(draft, text=text)


def not_below(draft: Draft) -> Draft | Reason:
    """Drop lines at the end that stand below the cursor already."""
    eol = draft.document.eol
    lines = draft.text.split(eol)
    below = _lines_below(draft.document, draft.offset, len(lines) + 1)
    if not below:
        return draft
    for start in range(len(lines)):
        tail = [line.strip() for line in lines[start:] if line.strip()]
        whole_line = start > 0 or not draft.left.strip()
        if whole_line and tail and tail == below[: len(tail)] and _telling(tail, start):
            kept = eol.join(lines[:start])
            return replace(draft, text=kept) if kept.strip() else Reason.REPEATS_BELOW
    return draft


def _telling(lines: list[str], start: int) -> bool:
    """A lone `}` or `return` may rightly come again; more than that is a repetition."""
    return start == 0 or any(len(line) > 3 for line in lines) or len(lines) > 1


_PAIRS = {")": "(", "]": "[", "}": "{"}


def suffix_once(draft: Draft) -> Draft | Reason:
    """Drop what stands right of the cursor already: text, and brackets or quotes that it closes."""
    right = draft.right.strip()
    if not right:
        return draft
    text = draft.text
    for length in range(min(len(text), len(right)), 0, -1):
        overlap = right[:length]
        if text.endswith(overlap) and (length > 1 or overlap in ";,:" or _closes(text, overlap)):
            text = text[:-length]
            break
    else:
        text = _before_unopened(text, right[0])
    return replace(draft, text=text) if text.strip() else Reason.REPEATS_SUFFIX


def _closes(text: str, closer: str) -> bool:
    """Return whether the closer at the end of the text closes something outside the text."""
    if closer in _PAIRS:
        return text.count(closer) > text.count(_PAIRS[closer])
    return closer in "\"'`" and text.count(closer) % 2 == 1


def _before_unopened(text: str, closer: str) -> str:
    """Return the text up to the closer that the suffix brings already."""
    if closer not in _PAIRS:
        return text
    depth = 0
    for at, character in enumerate(text):
        depth += (character == _PAIRS[closer]) - (character == closer)
        if depth < 0:
            return text[:at]
    return text


def keeps_syntax(draft: Draft) -> Draft | Reason:
    """Keep as many lines as leave the fewest syntax errors; refuse if these are more than before.

    What the cursor's line lacks is an error before the answer, so the count may also fall.
    """
    parsed = syntax(draft.document)
    if parsed is None:
        return draft
    eol = draft.document.eol
    lines = draft.text.split(eol)
    best, fewest = "", parsed.error_count + 1
    for kept in range(len(lines), 0, -1):
        text = draft.text if kept == len(lines) else eol.join(lines[:kept]).rstrip()
        errors = _errors_with(parsed, draft.offset, text) if text.strip() else fewest
        if errors < fewest:
            best, fewest = text, errors
        if fewest == 0:
            break
    return replace(draft, text=best) if best else Reason.BREAKS_SYNTAX


def _errors_with(parsed: Syntax, offset: int, text: str) -> int:
    """Return the errors with a text put in; a block that its last line opens may still be open."""
    written = parsed.with_insertion(offset, text)
    end = offset + len(text)
    if written.error_count > parsed.error_count and written.opens_block(end):
        return written.with_insertion(end, unclosed(text, parsed.language)).error_count
    return written.error_count


FILTERS: tuple[Filter, ...] = (
    without_sentinels,
    one_line_ending,
    not_empty,
    indented,
    spaced_once,
    not_below,
    suffix_once,
    trimmed,
    not_empty,
    keeps_syntax,
)


def _lines_below(document: Document, offset: int, most: int) -> list[str]:
    found: list[str] = []
    for line in range(document.line_of(offset) + 1, document.line_count):
        stripped = document.line_text(line).strip()
        if stripped:
            found.append(stripped)
        if len(found) == most:
            break
    return found


def _uses_tabs(document: Document) -> bool:
    return any(
        document.line_text(line).startswith("\t") for line in range(min(document.line_count, 400))
    )


_LEVEL = 4
"""Columns of one level where a model writes spaces into a file with tabs."""


def _tabs(text: str) -> str:
    """Write the indentation of every line but the first with tabs."""
    first, *rest = text.split("\n")
    changed = []
    for line in rest:
        body = line.lstrip(" \t")
        columns = len(line[: len(line) - len(body)].expandtabs(_LEVEL))
        changed.append("\t" * (columns // _LEVEL) + " " * (columns % _LEVEL) + body)
    return "\n".join([first, *changed])
