"""Questions about a cursor, answered by the syntax tree, or by lines where there is no grammar."""

from __future__ import annotations

from rnj_lsp.source.document import Document
from rnj_lsp.source.indentation import block_header_by_indent, code_of_line, line_start
from rnj_lsp.source.languages import language
from rnj_lsp.source.scope_end import scope_end_without_tree
from rnj_lsp.source.syntax import syntax

__all__ = ["in_comment", "opens_block", "scope_end"]


def in_comment(document: Document, offset: int) -> bool:
    """Return whether text typed at `offset` would be comment.

    Without a grammar only comments that go to the end of their line are known.
    """
    tree = syntax(document)
    if tree is not None:
        return tree.in_comment(offset)
    kind = language(document.language)
    line = document.text[line_start(document.text, offset) : offset]
    code, _ = code_of_line(line, kind)
    mark = kind.line_comment[0] if kind.line_comment else ""
    return bool(mark) and line[len(code) :].lstrip().startswith(mark)


def opens_block(document: Document, offset: int) -> bool:
    """Return whether `offset` is in or after the header of a block that has no statement yet."""
    tree = syntax(document)
    if tree is not None:
        return tree.opens_block(offset)
    kind = language(document.language)
    return block_header_by_indent(document.text, offset, kind) is not None


def scope_end(document: Document, offset: int, text: str) -> int:
    """Return how much of `text`, put in at `offset`, belongs to what the cursor's line begins.

    See `rnj_lsp.source.scope_end`; `text` may be the beginning of a stream.
    """
    tree = syntax(document)
    if tree is not None:
        return tree.scope_end(offset, text)
    kind = language(document.language)
    return scope_end_without_tree(document.text, offset, kind, text)
