"""Tree-sitter grammars, each loaded when it is first needed."""

from __future__ import annotations

from functools import cache
from importlib import import_module

import tree_sitter

from rnj_lsp.source.languages import Grammar

__all__ = ["load_grammar"]


@cache
def load_grammar(grammar: Grammar) -> tree_sitter.Language | None:
    """Return a grammar, or None when its package is missing, broken or made for another version."""
    try:
        pointer = getattr(import_module(grammar.module), grammar.function)()
        return tree_sitter.Language(pointer)
    except (ImportError, AttributeError, TypeError, ValueError, OSError):
        return None
