"""Questions about places in a syntax tree: comments, strings, blocks, where declarations begin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rnj_lsp.source.document import Span
from rnj_lsp.source.indentation import (
    block_header_by_indent,
    first_code,
    indent_of,
    last_code,
    line_end,
    line_start,
)

if TYPE_CHECKING:
    from rnj_lsp.source.syntax import Node, Syntax

__all__ = [
    "block_header",
    "boundaries",
    "code_end",
    "enclosing_block",
    "in_comment",
    "in_string",
    "is_block",
    "is_comment",
]


def in_comment(syntax: Syntax, offset: int) -> bool:
    """Return whether text typed at `offset` would be part of a comment."""
    start = line_start(syntax.text, offset)
    # Some grammars end a comment before its trailing blanks.
    code = len(syntax.text[start:offset].rstrip())
    for place in {offset - 1, start + code - 1 if code else offset - 1}:
        for node in syntax.ancestors(place) if place >= 0 else ():
            if is_comment(node):
                span = node.span
                if offset < span.end:
                    return True
                if span.start >= start and not _closes_itself(syntax, node):
                    return True
    return _in_open_comment(syntax, offset)


def in_string(syntax: Syntax, offset: int) -> bool:
    """Return whether text typed at `offset` would be part of a string."""
    if offset <= 0:
        return False
    for node in syntax.ancestors(offset - 1):
        if _INTERPOLATION.search(node.type) and node.span.end > offset:
            return False
        if _is_string(syntax, node):
            span, last = node.span, node.last_child
            if span.start < offset < span.end or (last is not None and last.is_missing):
                return True
    if offset - line_start(syntax.text, offset) > _LONGEST_LINE:
        return False
    return _error_on_line(syntax, offset) and _in_open_quotes(syntax, offset)


def enclosing_block(syntax: Syntax, offset: int) -> Span | None:
    """Return the span of the smallest block that text typed at `offset` would be part of.

    Where indentation makes blocks, that of the cursor's line decides, so that a blank line below
    a body belongs to the block with whose lines it is flush.
    """
    if syntax.language.blocks == "indent":
        start = line_start(syntax.text, offset)
        code = first_code(syntax.text, start)
        indent = indent_of(syntax.text[start : min(code, offset)])
        blank = code >= len(syntax.text) or syntax.text[code] in "\r\n"
        place = code_end(syntax, offset) - 1 if blank else code
        for node in syntax.ancestors(place) if place >= 0 else ():
            if is_block(node) and _column(syntax, node) <= indent:
                return node.span
        return None
    for place in (offset, offset - 1):
        for node in syntax.ancestors(place) if place >= 0 else ():
            if is_block(node):
                span = node.span
                first, last = node.first_child, node.last_child
                bracketed = first is not None and not first.named
                open_ended = not bracketed or last is None or last.named or last.is_missing
                if span.start + bracketed <= offset <= span.end - (not open_ended):
                    return span
    return None


def block_header(syntax: Syntax, offset: int) -> int | None:
    """Return where the header starts whose block, still without a statement, `offset` is in.

    A body of comments and a docstring has no statement. None when no block opens there.
    """
    if in_comment(syntax, offset) or in_string(syntax, offset):
        return None
    end = code_end(syntax, offset)
    return block_header_by_indent(syntax.text, offset, syntax.language, end)


def boundaries(syntax: Syntax) -> Sequence[int]:
    """Return, sorted, the starts of the lines on which declarations and class members begin."""
    return sorted(set(_declarations(syntax, syntax.root)))


def code_end(syntax: Syntax, offset: int) -> int:
    """Return where the last code before `offset` ends, not counting comments and docstrings."""
    end = last_code(syntax.text, offset)
    while end:
        skipped = _passed_over(syntax, end)
        if skipped is None:
            break
        end = last_code(syntax.text, skipped)
    return end


def is_comment(node: Node) -> bool:
    """Return whether a node is a comment."""
    return "comment" in node.type


def is_block(node: Node) -> bool:
    """Return whether a node holds the statements of a block or the members of a class."""
    return node.named and _BLOCK.search(node.type) is not None


_BLOCK = re.compile(
    r"(?:^|_)(?:block|body|body_statement|suite|statements|statement_list|compound_statement|declaration_list"
    r"|enumerator_list|variant_list|accessor_list|do_group|block_mapping|block_sequence)$"
    r"|^(?:then|else|object|object_type|lambda_literal|section|struct_declaration|block_expression"
    r"|table|element)$"
)
_STRING = re.compile(
    r"string|(?:^|_)(?:str_text|heredoc\w*|quote_scalar|attribute_value)$|char\w*_literal|rune_literal|^character$|text_block|^regex"
)
_NO_STRING = re.compile(r"string_scalar|string_array|^string_type")
_INTERPOLATION = re.compile(
    r"interpolation|substitution|expansion|interpolated_expression|jsx_expression"
)
_CONTAINER = re.compile(
    r"(?:^|_)(?:class|struct|impl|interface|trait|enum|module|mod|namespace|object|protocol"
    r"|extension|record|union|section|element|table|document|stream|block_mapping|block_node|actor"
    r"|mapping|package)(?:_|$)|ERROR"
)
_SEQUENCE = re.compile(r"^(?:section|element|table|document|stream)")
_WRAPPER = re.compile(
    r"export|decorated|template_declaration|type_declaration|type_spec|variable_declaration"
    r"|linkage_specification|ambient_declaration|^expression_statement$|^declaration$|^statement$"
)
_ATTRIBUTE = re.compile(
    r"^(?:attribute_item|inner_attribute_item|annotation|decorator|attribute_list)$"
)
_DEEPEST = 12
_LONGEST_LINE = 5000
"""Characters that are looked at to see whether quotes are open."""


def _closes_itself(syntax: Syntax, node: Node) -> bool:
    """Whether a comment ends with a mark, and not with its line."""
    marks = syntax.language.block_comment or syntax.language.line_comment
    if not marks or not marks[1]:
        return False
    text = node.text
    return (
        text.startswith(marks[0]) and text.endswith(marks[1]) and len(text) >= len("".join(marks))
    )


def _in_open_comment(syntax: Syntax, offset: int) -> bool:
    """Whether a comment of several lines has been opened before `offset` and not closed at all."""
    marks = syntax.language.block_comment
    if marks is None:
        return False
    opened = syntax.text.rfind(marks[0], 0, offset)
    if opened < 0 or syntax.text.find(marks[1], opened + len(marks[0]), offset) >= 0:
        return False
    nodes = list(syntax.ancestors(opened))
    if any(is_comment(node) and node.span.start < opened for node in nodes):
        return False
    return not any(_is_string(syntax, node) for node in nodes)


def _is_string(syntax: Syntax, node: Node) -> bool:
    kind = node.type
    if kind == "literal":
        return node.text[:1] in ("'", '"')
    return node.named and _STRING.search(kind) is not None and _NO_STRING.search(kind) is None


def _error_on_line(syntax: Syntax, offset: int) -> bool:
    start, end = line_start(syntax.text, offset), line_end(syntax.text, offset)
    waiting = [syntax.root]
    while waiting:
        node = waiting.pop()
        if not node.has_error or node.span.start > end or node.span.end < start:
            continue
        if node.is_error or node.is_missing:
            return True
        waiting += node.children
    return False


def _in_open_quotes(syntax: Syntax, offset: int) -> bool:
    """Whether a string has been opened on the line before `offset`, by its quotes alone."""
    line = syntax.text[line_start(syntax.text, offset) : offset]
    quote, escaped = "", False
    for character in line:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in syntax.language.quotes:
            quote = character
    return bool(quote)


def _column(syntax: Syntax, block: Node) -> int:
    start = line_start(syntax.text, block.span.start)
    return indent_of(syntax.text[start : block.span.start])


def _passed_over(syntax: Syntax, end: int) -> int | None:
    """Return where the comment or docstring starts that ends at `end`, or None."""
    for node in syntax.ancestors(end - 1):
        if is_comment(node):
            return node.span.start
        if node.type == "expression_statement" and syntax.language.blocks == "indent":
            children = node.named_children
            if len(children) == 1 and children[0].type == "string" and node.span.end == end:
                return node.span.start
    return None


def _declarations(syntax: Syntax, parent: Node, depth: int = 0) -> Iterator[int]:
    text = syntax.text
    above: int | None = None
    above_end = line_stop = -1
    for child in parent.named_children:
        span = child.span
        if span.start <= line_stop:
            continue  # It begins on the line of the one before it.
        line_stop = line_end(text, span.start)
        start = line_start(text, span.start)
        at_line_start = first_code(text, start) == span.start
        adjacent = above is not None and text.count("\n", above_end, span.start) <= 1
        if is_comment(child) or _ATTRIBUTE.match(child.type):
            if at_line_start:
                above = above if adjacent else start
                # A comment may include its line break.
                above_end = last_code(text, span.end)
            continue
        if at_line_start and (not parent.is_error or start == span.start):
            yield above if adjacent and above is not None else start
        above = None
        if depth < _DEEPEST:
            for body in _bodies(child):
                yield from _declarations(syntax, body, depth + 1)


def _bodies(node: Node) -> Iterator[Node]:
    """Yield the nodes whose children are the members of a class, module or the like."""
    if _CONTAINER.search(node.type):
        body = node.field("body")
        blocks = [child for child in node.named_children if is_block(child)]
        if body is not None:
            yield body
        elif blocks and not _SEQUENCE.search(node.type):
            yield from blocks
        else:
            yield node
    elif _WRAPPER.search(node.type):
        for child in node.named_children:
            yield from _bodies(child)
