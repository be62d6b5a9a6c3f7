"""`rnj-lsp serve`: the language server."""

from __future__ import annotations

import logging
import os
import sys
from typing import BinaryIO

from rnj_lsp.cli.main import CommandError
from rnj_lsp.models.model import Model, OnState
from rnj_lsp.settings import HostSettings

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def serve(tcp: str | None) -> int:
    """Run the server until its client ends it."""
    _log_to_stderr()
    address = _address(tcp) if tcp is not None else None
    stdout = _own_stdout()
    from rnj_lsp.lsp.handlers import build

    server = build(open_later)
    if address is None:
        server.start_io(stdout=stdout)
    else:
        server.start_tcp(*address)
    return 0


def open_later(spec: str, host: HostSettings, on_state: OnState) -> Model:
    """Open a model; what that needs is imported only now, after `initialize` was answered."""
    from rnj_lsp.models.select import open_model

    return open_model(spec, host, on_state, os.environ)


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    # pygls logs every message at info level, and at error level the parameters: the user's code.
    logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)
    logging.getLogger("httpx2").setLevel(logging.WARNING)


def _own_stdout() -> BinaryIO:
    """Return standard output for the protocol alone; a stray `print` goes to standard error."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if host not in _LOOPBACK or not port.isdigit():
        raise CommandError(
            f"{text} is no loopback address with a port, such as 127.0.0.1:4389; "
            "the protocol has no password, so other addresses are refused"
        )
    return host, int(port)
