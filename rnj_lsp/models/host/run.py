"""The host process: it listens, writes itself down, loads the model, and leaves when idle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import uvicorn
from filelock import FileLock, Timeout

from rnj_lsp import __version__
from rnj_lsp.models.host.app import make_app
from rnj_lsp.models.host.idle import Idle
from rnj_lsp.models.host.loading import EngineOptions
from rnj_lsp.models.host.record import (
    ALREADY_RUNNING,
    HostRecord,
    HostSpec,
    lock_path,
    read_record,
    remove_record,
    write_record,
)
from rnj_lsp.models.host.service import Service

FAILED = 1
"""Exit code: the model could not be loaded."""

_logger = logging.getLogger(__name__)
_GRACE_S = 2
"""Seconds that answers in progress have when the host is asked to leave."""

_LEAVING_S = 15.0
"""Seconds that another host may take to free its model while it leaves."""

_LOOK_S = 5.0
"""Seconds between two looks at whether the host may leave."""

_LAST_WORDS_S = 10.0
"""Seconds that a host whose model cannot be loaded stays to say so."""


def run_host(spec: HostSpec) -> int:
    """Be the host until it is idle or told to leave; return the exit code."""
    # uvicorn raises the signal again once it has closed, and then the record must still go.
    signal.signal(signal.SIGTERM, _exit)
    key = spec.key()
    lock = FileLock(lock_path(key))
    if not _acquired(lock, key):
        _logger.info("another process is this host already")
        return ALREADY_RUNNING
    try:
        with contextlib.closing(listening()) as listener:
            port: int = listener.getsockname()[1]
            token = secrets.token_urlsafe(32)
            model = str(spec.model.resolve())
            record = HostRecord(key, os.getpid(), port, token, model, __version__)
            with _written_down(record):
                _logger.info("pid %d listens on port %d for %s", record.pid, port, record.model)
                return asyncio.run(_serve(spec, record, listener, lock))
    finally:
        lock.release(force=True)


def listening() -> socket.socket:
    """Return a socket that listens on a free port of this machine only."""
    # With the protocol left at 0, asyncio does not set TCP_NODELAY on the connections, and each
    # answer on a kept connection is 40 ms late.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


async def _serve(
    spec: HostSpec, record: HostRecord, listener: socket.socket, lock: FileLock
) -> int:
    idle = Idle(spec.settings.idle_minutes * 60, time.monotonic)
    service = Service(spec.model, _options(spec), idle)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(service, record.token, lambda: setattr(server, "should_exit", True)),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    living = asyncio.create_task(_live(service, server, record, lock))
    try:
        await server.serve(sockets=[listener])
    finally:
        living.cancel()
        await asyncio.wait({living})
        await service.close()
    return FAILED if service.condition.state == "failed" else 0


async def _live(
    service: Service, server: uvicorn.Server, record: HostRecord, lock: FileLock
) -> None:
    """Load the model, then end the server once nobody needs it."""
    await service.load()
    if service.condition.state == "failed":
        # Whoever waits for this host may still read why; the next one begins afresh.
        remove_record(record)
        lock.release(force=True)
        await asyncio.sleep(_LAST_WORDS_S)
    else:
        found = True
        while found and (remaining_s := service.idle.remaining_s()) != 0:
            # A laptop may sleep through a long wait, and requests come in between.
            await asyncio.sleep(_LOOK_S if remaining_s is None else min(remaining_s, _LOOK_S))
            # A host that nobody can find any more must not stay.
            found = read_record(record.key) == record
        _logger.info("idle, or no longer written down; leaving")
        # Whoever looks for a host from now on starts another one.
        remove_record(record)
    server.should_exit = True


def _options(spec: HostSpec) -> EngineOptions:
    settings = spec.settings
    return EngineOptions(
        context_tokens=settings.context_tokens,
        threads=settings.threads,
        kv_type=settings.kv_type,
        gpu_layers=settings.gpu_layers,
    )


def _acquired(lock: FileLock, key: str) -> bool:
    """Take the lock that a host has for as long as it lives; False where one lives.

    A host that is just leaving, or just starting, has the lock and no record. The former is
    waited for.
    """
    give_up = time.monotonic() + _LEAVING_S
    while True:
        try:
            lock.acquire(timeout=0.05)
        except Timeout:
            if read_record(key) is not None or time.monotonic() > give_up:
                return False
        else:
            return True


@contextlib.contextmanager
def _written_down(record: HostRecord) -> Iterator[None]:
    write_record(record)
    try:
        yield
    finally:
        remove_record(record)


def _exit(_: int, __: FrameType | None) -> NoReturn:
    sys.exit(0)
