"""Find a running host for a model, or start one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import psutil

from rnj_lsp.models.endpoint import Address
from rnj_lsp.models.folders import cache_folder
from rnj_lsp.models.host.record import (
    ALREADY_RUNNING,
    Health,
    HostRecord,
    HostSpec,
    call,
    health,
    log_path,
    read_record,
    read_records,
    remove_record,
)
from rnj_lsp.models.model import HostFailed, ModelState, OnState

__all__ = ["HostRecord", "HostSpec", "LocalEndpoint", "running_hosts", "stop_host"]

_POLL_S = 0.05
_STARTS = 2
"""A process that dies before it listens is started once more."""

_START_S = 60.0
"""Seconds that a new process may take until it listens."""

_STALL_S = 300.0
"""Seconds that loading may stand still: an 8B model is read from a slow disk in one step."""

_LEAVE_S = 10.0
"""Seconds that a host may take to leave before it is ended."""

_LARGEST_LOG = 1 << 20
_LARGEST_TAIL = 4096
_LOG_LINES = 5


class LocalEndpoint:
    """The host of a model on this machine: found, or started, and started again once lost.

    The host belongs to nobody: it goes on when this process ends, and leaves when it is idle.
    """

    def __init__(self, spec: HostSpec) -> None:
        self._spec = spec
        self._connected: HostRecord | None = None
        self._connecting = asyncio.Lock()
        self._child: _Host | None = None
        self._log_from = 0
        """Where the child's messages begin in the log."""

    @property
    def restartable(self) -> bool:
        """True: a lost host is replaced by asking `connect` again."""
        return True

    async def connect(self, on_state: OnState) -> Address:
        """Return the address of a host whose model is loaded.

        Reports loading through `on_state`. Raises `HostFailed` or `ModelNotFound`.
        """
        async with self._connecting:
            if self._connected is None:
                try:
                    self._connected = await self._ready_host(on_state)
                except OSError as error:
                    raise HostFailed(f"the model host could not be started: {error}") from error
            return self._connected.address

    def lost(self, address: Address) -> None:
        """Look again at the next `connect`, because nothing answers at this address."""
        if self._connected is not None and self._connected.address == address:
            self._connected = None

    async def _ready_host(self, on_state: OnState) -> HostRecord:
        key = self._spec.key()
        for _ in range(2):
            record = await _living(key) or await self._start(key, on_state)
            try:
                if await _wait_until_ready(record, on_state):
                    return record
            except HostFailed:
                # Its last words are said; the next `connect` begins afresh.
                self._child = None
                raise
            # It was just leaving, or it died while it loaded: once more.
        raise HostFailed(self._story("the model host died while it loaded the model", key))

    async def _start(self, key: str, on_state: OnState) -> HostRecord:
        on_state(ModelState("loading", "the model host is starting"))
        give_up = time.monotonic() + _START_S
        deaths = 0
        while deaths < _STARTS and time.monotonic() < give_up:
            # A start whose `connect` was cancelled goes on, so it is not begun a second time.
            going_on = self._child is not None and self._child.poll() is None
            child = self._child if self._child and going_on else self._spawned(key)
            while child.poll() is None and time.monotonic() < give_up:
                if record := await _living(key):
                    return record
                await asyncio.sleep(_POLL_S)
            # Another process may have become the host in the meantime.
            if record := await _living(key):
                return record
            deaths += not going_on and child.returncode != ALREADY_RUNNING
        raise HostFailed(self._story("the model host could not be started", key))

    def _spawned(self, key: str) -> _Host:
        log = log_path(key)
        self._log_from = log.stat().st_size if log.exists() else 0
        self._child = _spawn(self._spec, log)
        return self._child

    def _story(self, what: str, key: str) -> str:
        """Return what went wrong with the end of the host's log."""
        log = log_path(key)
        return f"{what}; {_tail(log, self._log_from)}(its log: {log})"


def running_hosts() -> list[HostRecord]:
    """Return every host of this user that lives; files of dead ones are removed."""
    hosts = []
    for record in read_records():
        try:
            gone = health(record) is None
        except TimeoutError:
            gone = False
        if gone:
            remove_record(record)
        else:
            hosts.append(record)
    return hosts


def stop_host(record: HostRecord) -> None:
    """Ask a host to leave, and end its process where it does not."""
    try:
        process = psutil.Process(record.pid)
        asked = call(record, "POST", "/shutdown") is not None
    except psutil.NoSuchProcess:
        remove_record(record)
        return
    except TimeoutError:
        # It accepts connections with our token's port and hangs, so the process is the host.
        asked = False
        process.kill()
    if asked:
        try:
            process.wait(_LEAVE_S)
        except psutil.TimeoutExpired:
            process.kill()
    remove_record(record)


async def _living(key: str) -> HostRecord | None:
    """Return the host with this key if it answers; remove its file if it is gone."""
    record = read_record(key)
    if record is None:
        return None
    try:
        if await asyncio.to_thread(health, record) is not None:
            return record
    except TimeoutError as error:
        raise HostFailed(
            f"the model host (process {record.pid}) does not answer; "
            "stop it with `rnj-lsp host stop`"
        ) from error
    remove_record(record)
    return None


async def _wait_until_ready(record: HostRecord, on_state: OnState) -> bool:
    """Return True once the model is loaded, False when the host is gone."""
    last, give_up = Health("", "", None), time.monotonic() + _STALL_S
    while True:
        try:
            now = await asyncio.to_thread(health, record)
        except TimeoutError:
            # A machine that swaps is slow, and not lost yet.
            now = last
        if now is None:
            return False
        if now.state == "ready":
            return True
        if now.state == "failed":
            raise HostFailed(now.message)
        if now != last:
            last, give_up = now, time.monotonic() + _STALL_S
            on_state(ModelState("loading", now.message, now.percent))
        elif time.monotonic() > give_up:
            raise HostFailed(f"loading the model stands still (log: {log_path(record.key)})")
        await asyncio.sleep(_POLL_S)


def _spawn(spec: HostSpec, log: Path) -> _Host:
    """Start a host that outlives this process and never touches its input and output."""
    settings = spec.settings
    # -P keeps a package in the current folder from being imported in place of the real one.
    command = [sys.executable, "-P", "-m", "rnj_lsp.models.host", "run", str(spec.model.resolve())]
    command += ["--threads", str(settings.threads)]
    command += ["--context-tokens", str(settings.context_tokens)]
    command += ["--kv-type", settings.kv_type]
    command += ["--gpu-layers", str(settings.gpu_layers)]
    command += ["--idle-minutes", str(settings.idle_minutes)]
    mode = "wb" if log.exists() and log.stat().st_size > _LARGEST_LOG else "ab"
    with log.open(mode) as output:
        return _Host(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cache_folder(),
            creationflags=_creation_flags(),
            start_new_session=True,
        )


class _Host(subprocess.Popen[bytes]):
    """A process that outlives this one on purpose, so that there is nothing to warn of."""

    def __del__(self) -> None:
        pass


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


def _tail(log: Path, since: int) -> str:
    """Return the last lines that a host has written after the first `since` bytes of its log."""
    try:
        with log.open("rb") as file:
            size = log.stat().st_size
            file.seek(max(since if since <= size else 0, size - _LARGEST_TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()][-_LOG_LINES:]
    return "it said last: " + " | ".join(said) + " " if said else ""
