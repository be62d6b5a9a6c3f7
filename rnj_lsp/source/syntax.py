"""Syntax trees of documents: parsed when first asked for, incrementally after a change.

Outside of this file and `scopes` nothing knows that tree-sitter counts bytes: every offset that
goes in or comes out counts code points.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property

import tree_sitter

from rnj_lsp.source import scopes
from rnj_lsp.source.document import Document, Span
from rnj_lsp.source.edits import Edit, difference
from rnj_lsp.source.grammars import load_grammar
from rnj_lsp.source.languages import Language, language
from rnj_lsp.source.scope_end import scope_end

__all__ = ["LONGEST_PARSED", "Node", "Syntax", "syntax"]

LONGEST_PARSED = 4_000_000
"""Code points; longer documents have no syntax, since a parse would hold up the editor."""


def syntax(document: Document) -> Syntax | None:
    """Return the syntax of a document, or None when its language has no grammar.

    The first call parses; the result is kept on the document. When an earlier version of the
    document was parsed, the difference between the two texts is one edit of a copy of that tree.
    None also when the text is longer than `LONGEST_PARSED`.
    """
    if len(document.text) > LONGEST_PARSED:
        return None
    known = document._parsed
    if known is not None:
        edit = difference(known.text, document.text)
        parsed = known if edit is None else known.after(edit, document.text)
    else:
        kind = language(document.language)
        grammar = load_grammar(kind.grammar) if kind.grammar else None
        if grammar is None:
            return None
        source = document.text.encode("utf-8", "surrogatepass")
        parsed = Syntax(kind, document.text, source, tree_sitter.Parser(grammar).parse(source))
    # The document is a value; what is kept here can be computed from it at any time.
    object.__setattr__(document, "_parsed", parsed)
    return parsed


class Node:
    """A node of a syntax tree: an immutable view."""

    __slots__ = ("_node", "_syntax")

    def __init__(self, syntax: Syntax, node: tree_sitter.Node) -> None:
        self._syntax = syntax
        self._node = node

    @property
    def type(self) -> str:
        """The grammar's name for it, for instance `function_definition`, or its text: `(`."""
        return self._node.type

    @property
    def named(self) -> bool:
        """Whether the grammar gives it a name; punctuation and keywords have none."""
        return self._node.is_named

    @property
    def is_error(self) -> bool:
        """Whether the parser could not make sense of this text."""
        return self._node.is_error

    @property
    def is_missing(self) -> bool:
        """Whether the parser put it in, without text, to make sense of the rest."""
        return self._node.is_missing

    @property
    def has_error(self) -> bool:
        """Whether it is, or holds, an error or something missing."""
        return self._node.has_error

    @property
    def span(self) -> Span:
        """Where it lies, in code points."""
        return self._syntax.span_of(self._node)

    @property
    def text(self) -> str:
        """Its text."""
        span = self.span
        return self._syntax.text[span.start : span.end]

    @property
    def parent(self) -> Node | None:
        """The node around it; None for the root."""
        parent = self._node.parent
        return None if parent is None else Node(self._syntax, parent)

    @property
    def children(self) -> list[Node]:
        """The nodes in it, in the order of the text."""
        return [Node(self._syntax, child) for child in self._node.children]

    @property
    def named_children(self) -> list[Node]:
        """Those of its children that are named."""
        return [Node(self._syntax, child) for child in self._node.named_children]

    @property
    def first_child(self) -> Node | None:
        """The first of its children."""
        return self._child(0)

    @property
    def last_child(self) -> Node | None:
        """The last of its children."""
        return self._child(self._node.child_count - 1)

    @property
    def next_sibling(self) -> Node | None:
        """The node that follows in the same parent."""
        node = self._node.next_sibling
        return None if node is None else Node(self._syntax, node)

    def first_child_after(self, offset: int) -> Node | None:
        """Return its first child that ends after `offset`."""
        # `first_child_for_byte` of tree-sitter 0.26 gives a null node that crashes the process
        # where there is no such child; a cursor says so.
        cursor = self._node.walk()
        if cursor.goto_first_child_for_byte(self._syntax.byte_at(offset)) is None:
            return None
        child = cursor.node
        return None if child is None else Node(self._syntax, child)

    def field(self, name: str) -> Node | None:
        """Return the first child that the grammar calls `name`, for instance `body`."""
        child = self._node.child_by_field_name(name)
        return None if child is None else Node(self._syntax, child)

    def _child(self, number: int) -> Node | None:
        return Node(self._syntax, self._node.child(number)) if self._node.child_count else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self._node == other._node

    def __hash__(self) -> int:
        return hash(self._node)

    def __repr__(self) -> str:
        return f"<{self.type} {self.span.start}..{self.span.end}>"


class Syntax:
    """The syntax of one text, and the questions that completion asks about places in it."""

    def __init__(
        self, language: Language, text: str, source: bytes, tree: tree_sitter.Tree
    ) -> None:
        self.language = language
        self.text = text
        self._source = source
        self._tree = tree

    @property
    def root(self) -> Node:
        """The node of the whole text."""
        return Node(self, self._tree.root_node)

    @cached_property
    def error_count(self) -> int:
        """How many nodes are errors or missing; 0 when the text is well formed."""
        count = 0
        waiting = [self._tree.root_node]
        while waiting:
            node = waiting.pop()
            count += node.is_error or node.is_missing
            waiting += (child for child in node.children if child.has_error)
        return count

    def node_at(self, offset: int) -> Node:
        """Return the smallest node that holds the character at `offset`, or the last one."""
        return next(self.ancestors(offset))

    def ancestors(self, offset: int) -> Iterator[Node]:
        """Yield the nodes that hold the character at `offset`, or the last, the smallest first."""
        start = self.byte_at(min(offset, len(self.text) - 1))
        end = min(start + 1, len(self._source))
        path = [self._tree.root_node]
        cursor = self._tree.walk()
        while cursor.goto_first_child_for_byte(start) is not None:
            node = cursor.node
            if node is None or node.start_byte > start or node.end_byte < end:
                break
            path.append(node)
        return (Node(self, node) for node in reversed(path))

    def in_comment(self, offset: int) -> bool:
        """Whether text typed at `offset` would be comment, also at the end of a line comment."""
        return scopes.in_comment(self, offset)

    def in_string(self, offset: int) -> bool:
        """Whether text typed at `offset` would be part of a string, also of one not yet closed."""
        return scopes.in_string(self, offset)

    def enclosing_block(self, offset: int) -> Span | None:
        """Return the span of the smallest block that text typed at `offset` would be part of."""
        return scopes.enclosing_block(self, offset)

    def opens_block(self, offset: int) -> bool:
        """Whether `offset` is in or after the header of a block that has no statement yet."""
        return scopes.block_header(self, offset) is not None

    @cached_property
    def _boundaries(self) -> Sequence[int]:
        return scopes.boundaries(self)

    def boundaries(self) -> Sequence[int]:
        """Return, sorted, where declarations begin: those of the file and the members of classes.

        Each is the start of a line, that of the comments and attributes right above it.
        """
        return self._boundaries

    def scope_end(self, offset: int, text: str) -> int:
        """Return how much of `text`, put in at `offset`, belongs to what the cursor's line begins.

        See `scope_end.scope_end`.
        """
        return scope_end(self, offset, text)

    def with_insertion(self, offset: int, text: str) -> Syntax:
        """Return the syntax of the text with `text` put in at `offset`: an incremental parse."""
        edit = Edit(Span(offset, offset), text)
        return self.after(edit, self.text[:offset] + text + self.text[offset:])

    def after(self, edit: Edit, text: str) -> Syntax:
        """Return the syntax of `text`, which is this text after `edit`: an incremental parse."""
        start, old_end = self.byte_at(edit.span.start), self.byte_at(edit.span.end)
        inserted = edit.text.encode("utf-8", "surrogatepass")
        source = b"".join((self._source[:start], inserted, self._source[old_end:]))
        new_end = start + len(inserted)
        tree = self._tree.copy()
        tree.edit(
            start,
            old_end,
            new_end,
            _point(self._source, start),
            _point(self._source, old_end),
            _point(source, new_end),
        )
        tree = tree_sitter.Parser(tree.language).parse(source, tree)
        return Syntax(self.language, text, source, tree)

    def span_of(self, node: tree_sitter.Node) -> Span:
        """Return the span of one of tree-sitter's nodes."""
        return Span(self._offset_at(node.start_byte), self._offset_at(node.end_byte))

    @cached_property
    def _checkpoints(self) -> list[int]:
        """The byte at which every `_STEP`th character starts."""
        checkpoints, place = [0], 0
        for start in range(0, len(self.text), _STEP):
            place += len(self.text[start : start + _STEP].encode("utf-8", "surrogatepass"))
            checkpoints.append(place)
        return checkpoints

    def byte_at(self, offset: int) -> int:
        """Return the byte of tree-sitter's text at which the character at `offset` starts."""
        offset = min(max(offset, 0), len(self.text))
        if len(self._source) == len(self.text):
            return offset
        number = offset // _STEP
        start = self.text[number * _STEP : offset]
        return self._checkpoints[number] + len(start.encode("utf-8", "surrogatepass"))

    def _offset_at(self, byte: int) -> int:
        if len(self._source) == len(self.text):
            return byte
        number = bisect_right(self._checkpoints, byte) - 1
        between = self._source[self._checkpoints[number] : byte]
        # Every character has one byte that is no continuation byte.
        return number * _STEP + len(between.translate(None, _CONTINUATION))


_STEP = 4096
_CONTINUATION = bytes(range(0x80, 0xC0))


def _point(source: bytes, byte: int) -> tuple[int, int]:
    return source.count(b"\n", 0, byte), byte - source.rfind(b"\n", 0, byte) - 1
