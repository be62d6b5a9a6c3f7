"""llama.cpp's own log, kept off the terminal: it goes to Python's logger at debug level."""

from __future__ import annotations

import ctypes
import logging
from collections import deque
from typing import Any

from llama_cpp import llama_cpp

_logger = logging.getLogger("rnj_lsp.host.llama_cpp")
_ERROR, _CONTINUED = 4, 5
_errors: deque[str] = deque(maxlen=8)
_installed: list[Any] = []


def capture_log() -> None:
    """Send llama.cpp's log to the logger from now on; a second call changes nothing."""
    if _installed:
        return
    callback = llama_cpp.llama_log_callback(_receive)
    # llama.cpp keeps only the address, so the callback must live as long as the process.
    _installed.append(callback)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))


def forget_errors() -> None:
    """Begin a new collection of error lines."""
    _errors.clear()


def last_error() -> str:
    """Return llama.cpp's first error line since `forget_errors`: the cause, not what followed."""
    return _errors[0] if _errors else ""


def _receive(level: int, text: bytes, _: Any) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if not line or level == _CONTINUED:
        return
    if level == _ERROR:
        _errors.append(line.partition(": ")[2] or line)
    _logger.debug("%s", line)
