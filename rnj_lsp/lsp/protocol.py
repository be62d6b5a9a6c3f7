"""pygls' protocol with our own documents in place of its own, and an exit that always ends."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

from lsprotocol import types as lsp
from pygls.protocol import LanguageServerProtocol, lsp_method


class Protocol(LanguageServerProtocol):
    """Hands document notifications on and keeps no text itself.

    pygls' own documents split lines at form feeds and `\\u2028`, so their text is wrong in such
    files, and they would hold every text a second time.
    """

    @lsp_method(lsp.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: Any) -> Any:
        """Call our handler."""
        return self._ours(lsp.TEXT_DOCUMENT_DID_OPEN, params)

    @lsp_method(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: Any) -> Any:
        """Call our handler."""
        return self._ours(lsp.TEXT_DOCUMENT_DID_CHANGE, params)

    @lsp_method(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: Any) -> Any:
        """Call our handler."""
        return self._ours(lsp.TEXT_DOCUMENT_DID_CLOSE, params)

    @lsp_method(lsp.EXIT)
    def lsp_exit(self, *_: Any) -> Generator[Any, Any, None]:
        """End the process: 0 after `shutdown`, else 1.

        The reader's thread waits for standard input and cannot be interrupted, so an editor
        that keeps the pipe open would keep an ordinary exit waiting for ever.
        """
        yield from ()
        os._exit(0 if self._shutdown else 1)

    def _ours(self, method: str, params: Any) -> None:
        self.fm.features[method](params)
