"""Where the statement or block ends that a suggestion belongs to: for cutting it while it streams.

The text is put in, what it leaves open is closed, and the result is parsed incrementally. The
outermost node that begins on the cursor's line says how far the scope reaches. The idea of
cutting by that node is Cody's; that of a block with an empty body, whose header says it, is ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from rnj_lsp.source.indentation import (
    block_header_by_indent,
    first_code,
    indent_of,
    last_code,
    line_end,
    line_start,
    may_continue,
    scope_end_by_indent,
    unfinished_header,
)
from rnj_lsp.source.languages import Language
from rnj_lsp.source.scopes import block_header, code_end

if TYPE_CHECKING:
    from rnj_lsp.source.syntax import Node, Syntax

__all__ = ["scope_end", "scope_end_without_tree", "unclosed"]


def scope_end(syntax: Syntax, offset: int, text: str) -> int:
    """Return how many characters of `text` belong to the statement or block at the cursor.

    `text` is put in at `offset`; it may be the beginning of a stream and grow from call to call.
    The scope is what begins on the cursor's line, or else what begins first in `text`; in or
    below the header of a block that has no statement yet (`opens_block`) it is that whole block.
    What closes the block does not belong to it when it stands behind the cursor already.
    The length of `text` when the scope does not end inside, or when that is still undecided.
    """
    if "\n" not in text and "\r" not in text:
        return len(text)
    scope = _scope(syntax, offset, text)
    whole_lines = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    # The last line is half written most of the time, and then its errors mean nothing.
    for part in (text, whole_lines):
        end = _end_by_tree(syntax, scope, part)
        if end is not None:
            return len(text) if end == len(part) else end
    return _end_by_indent(scope, text)


def scope_end_without_tree(text: str, offset: int, language: Language, inserted: str) -> int:
    """Return what `scope_end` does for a language without a grammar, by indentation alone."""
    line = line_start(text, offset)
    header = block_header_by_indent(text, offset, language)
    start = min(offset, first_code(text, line)) if header is None else header
    if start < offset:
        indent = _indent_at(text, start)
    else:
        indent = _indent_of_first(text[line:offset] + inserted)
    return _end_by_indent(_Scope(offset, start, indent, closed=False), inserted)


def unclosed(text: str, language: Language) -> str:
    """Return what closes the strings and brackets that `text` leaves open, innermost first."""
    closing: list[str] = []
    tail = ""
    for match in _tokens(language).finditer(text):
        token = match.group()
        if token in _BRACKETS:
            closing.append(_BRACKETS[token])
        elif token in _BRACKETS.values():
            if closing and closing[-1] == token:
                closing.pop()
        elif match.end() == len(text):
            tail = _end_of_token(token, language)
    if tail == "\n" and not closing:
        return ""
    return tail + "".join(reversed(closing))


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is known before any text is put in."""

    offset: int
    """The cursor."""

    start: int
    """Where the code begins that begins the scope; at the cursor when its line is blank so far."""

    indent: int
    """The indentation of that line."""

    closed: bool
    """Whether the brackets that are open between `start` and the cursor are closed behind it."""

    opener: int | None = None
    """Where the code before the cursor ends, when that is the header of an empty block."""

    closer_below: bool = False
    """Whether what closes that block stands on a line below the cursor's."""


_SPACE = re.compile(r"\s*")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_END_WORD = re.compile(r"(?:end|fi|done|esac)\b")
_CLOSER = re.compile(r"[}\])]|end|fi|done|esac")
_ONLY_CLOSERS = re.compile(r"[)\]};,]+|(?:end|fi|done|esac)\b[);,]*")
_ABOVE = re.compile(r"(?:[ \t]*(?:#|//|--|/\*|\*|@)[^\r\n]*(?:\r\n?|\n))*")
"""Lines of comments and attributes."""

_DEFINITE = re.compile(r"(?:[;}]|\b(?:end|fi|done|esac))\s*$")
_CONTINUED = re.compile(r"^(?:if|try|do|switch|begin|unless|case|conditional|else|elif|catch|when)")
_LIST = re.compile(
    r"(?:^|_)(?:block|body_statement|statements|statement_list|section|block_mapping|then"
    r"|block_sequence|block_node|document)$"
)
_ATTACHED = re.compile(
    r"comment|^(?:attribute_item|inner_attribute_item|annotation|decorator|attribute_list)$"
)


def _scope(syntax: Syntax, offset: int, inserted: str) -> _Scope:
    text = syntax.text
    header = block_header(syntax, offset)
    line = line_start(text, offset)
    start = min(offset, first_code(text, line)) if header is None else header
    if start == offset:
        return _Scope(offset, start, _indent_of_first(text[line:offset] + inserted), closed=True)
    indent = _indent_at(text, start)
    if header is None:
        return _Scope(offset, start, indent, closed=not _broken(syntax, start))
    place = _SPACE.match(text, offset).end()  # type: ignore[union-attr]  # It matches nothing, too.
    below = place > line_end(text, offset)
    opener = code_end(syntax, offset)
    pattern = syntax.language.opener
    opened = pattern is not None and pattern.search(text[line_start(text, opener) : opener])
    bracket = _BRACKETS.get(text[opener - 1])
    closes = text.startswith(bracket, place) if bracket else _END_WORD.match(text, place)
    closed = bool(opened and closes) and (not below or _indent_at(text, place) == indent)
    return _Scope(offset, start, indent, closed, opener, below)


def _broken(syntax: Syntax, start: int) -> bool:
    """Whether an error is part of the outermost node that begins at `start`."""
    nodes = [node for node in syntax.ancestors(start) if node.span.start >= start]
    return (
        not nodes or any(node.is_error for node in syntax.ancestors(start)) or nodes[-1].has_error
    )


def _indent_at(text: str, offset: int) -> int:
    return indent_of(text[line_start(text, offset) : offset])


def _end_by_tree(syntax: Syntax, scope: _Scope, text: str) -> int | None:
    """Return where the scope ends in `text`; None when errors keep the tree from saying so."""
    language = syntax.language
    before = syntax.text[scope.start : scope.offset]
    closing = unclosed(text if scope.closed else before + text, language)
    if unfinished_header(before + text + closing, language):
        closing += ":"
    parsed = syntax.with_insertion(scope.offset, text + closing)
    node = _target(parsed, scope, scope.offset + len(text))
    if node is None:
        return None
    continued = _CONTINUED.match(node.type) is not None
    if scope.closed and scope.opener is not None:
        closer = _closer(parsed, scope.opener, node, continued)
        return _before_closer(scope, text, closer, continued)
    end = node.span.end - scope.offset
    if end >= len(text):
        return len(text)
    end = line_end(text, last_code(text, end))
    rest = text[end:]
    half = rest.lstrip()
    if _indent_of_first(rest) > scope.indent or half.startswith("{"):
        # The parser leaves comments out of the body that follows them, and broken lines too.
        return len(text) if _only_comments(rest, language) else None
    definite = not continued and _DEFINITE.search(text[:end]) is not None
    if language.terminator and not text[:end].endswith(language.terminator):
        return len(text)
    if not half:
        # Only a dedented line ends a block of Python, and `else` or `.then()` may follow.
        return end if definite and language.blocks != "indent" else len(text)
    undecided = not definite and "\n" not in half and "\r" not in half and may_continue(half)
    return len(text) if undecided else end


def _end_by_indent(scope: _Scope, text: str) -> int:
    above = _ABOVE.match(text).end() if scope.start == scope.offset else 0  # type: ignore[union-attr]
    end = above + scope_end_by_indent(scope.indent, text[above:])
    last = line_start(text, end)
    repeats_closer = (
        scope.closed
        and scope.opener is not None
        and last
        and indent_of(text[last:end]) == scope.indent
        and _ONLY_CLOSERS.fullmatch(text[last:end].strip())
    )
    return len(text[:last].rstrip()) if repeats_closer else end


def _before_closer(scope: _Scope, text: str, closer: Node, continued: bool) -> int | None:
    """Return where the text ends that stands before the bracket which the document closes."""
    cut = closer.span.start - scope.offset
    if cut >= len(text):
        return len(text)
    in_place = (
        scope.indent == _indent_at(text, cut) if line_start(text, cut) else not scope.closer_below
    )
    if cut < 0 or not in_place or not _CLOSER.fullmatch(closer.text):
        return None
    if continued and may_continue(text[cut + len(closer.text) :]):
        return len(text)
    return len(text[:cut].rstrip()) if scope.closer_below else cut


def _indent_of_first(text: str) -> int:
    """Return the indentation of the first line that is not blank; 0 when all are."""
    return next((indent_of(line) for line in text.splitlines() if line.strip()), 0)


def _only_comments(text: str, language: Language) -> bool:
    mark = language.line_comment[0] if language.line_comment else "\n"
    return all(line.lstrip().startswith(mark) for line in text.splitlines() if line.strip())


def _target(syntax: Syntax, scope: _Scope, end: int) -> Node | None:
    """Return the outermost node that begins the scope; None when errors are part of it."""
    node: Node | None = syntax.root
    while node is not None:
        node = node.first_child_after(scope.offset)
        if node is None or node.is_error:
            return None
        if node.span.start < scope.start:
            continue
        first = node.first_child
        if first is None or not first.named or not _LIST.search(node.type):
            break
    while node is not None and _ATTACHED.search(node.type) and node.span.start >= scope.offset:
        # A comment or an attribute belongs to what it stands above.
        following = node.next_sibling
        if following is None or following.span.start >= end:
            break
        node = following
    return None if node is None or node.has_error else node


def _closer(syntax: Syntax, opener: int, scope: Node, continued: bool) -> Node:
    """Return the token that closes the block which was opened before `opener`."""
    path = syntax.ancestors(opener - 1)
    token = next(path)
    node = scope
    if token.type in _BRACKETS and not continued:
        node = next(path)
    while (last := node.last_child) is not None:
        node = last
    return node


@cache
def _tokens(language: Language) -> re.Pattern[str]:
    """Return a pattern of comments and strings, also unfinished ones, and of brackets."""
    parts = []
    if language.block_comment:
        start, end = map(re.escape, language.block_comment)
        parts.append(rf"{start}[\s\S]*?(?:{end}|\Z)")
    if language.line_comment and not language.line_comment[1]:
        parts.append(re.escape(language.line_comment[0]) + r"[^\r\n]*")
    for quote in language.quotes:
        if quote != "`":
            parts.append(rf"{quote * 3}[\s\S]*?(?:{quote * 3}|\Z)")
        inside = r"[^\\`]" if quote == "`" else rf"[^\\{quote}\r\n]"
        parts.append(rf"{quote}(?:\\[\s\S]|{inside})*(?:{quote}|\Z|(?=[\r\n]))")
    parts.append(r"[(\[{}\])]")
    return re.compile("|".join(parts))


def _end_of_token(token: str, language: Language) -> str:
    """Return what ends the comment or string `token`, the last of a text, when it is unfinished."""
    if language.block_comment and token.startswith(language.block_comment[0]):
        end = language.block_comment[1]
        return "" if token.endswith(end) and len(token) > len(end) else end
    if language.line_comment and token.startswith(language.line_comment[0]):
        return "\n"
    quote = token[0] * 3 if token[:3] == token[0] * 3 else token[0]
    return "" if token.endswith(quote) and len(token) >= 2 * len(quote) else quote
