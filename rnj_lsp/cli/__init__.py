"""The terminal: `rnj-lsp` and its commands.

Rule: composition only; whatever a command can do, the server does through the same functions.
"""

from rnj_lsp.cli.main import main

__all__ = ["main"]
