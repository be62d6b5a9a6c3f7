"""What the user's code is: documents, positions and syntax.

Rule: values and pure functions over text; no I/O, no clock, no async; nothing here raises on
what a user typed. Offsets are code points; bytes exist only inside `syntax`.
"""

from rnj_lsp.source.cursor import in_comment, opens_block, scope_end
from rnj_lsp.source.document import (
    Document,
    Documents,
    Position,
    PositionEncoding,
    Span,
    TextChange,
    UnknownDocumentError,
)
from rnj_lsp.source.edits import Edit, apply, difference
from rnj_lsp.source.indentation import indent_of, scope_end_by_indent
from rnj_lsp.source.languages import Language, language, language_of_path, languages
from rnj_lsp.source.syntax import Node, Syntax, syntax

__all__ = [
    "Document",
    "Documents",
    "Edit",
    "Language",
    "Node",
    "Position",
    "PositionEncoding",
    "Span",
    "Syntax",
    "TextChange",
    "UnknownDocumentError",
    "apply",
    "difference",
    "in_comment",
    "indent_of",
    "language",
    "language_of_path",
    "languages",
    "opens_block",
    "scope_end",
    "scope_end_by_indent",
    "syntax",
]
