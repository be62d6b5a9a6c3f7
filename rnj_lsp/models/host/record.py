"""Where running hosts are written down: one file each, for this user's eyes only."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnj_lsp import __version__
from rnj_lsp.models.endpoint import Address
from rnj_lsp.models.folders import cache_folder, runtime_folder
from rnj_lsp.models.host.probe import forced_setting
from rnj_lsp.models.model import HostFailed, ModelNotFound
from rnj_lsp.settings import HostSettings

ALREADY_RUNNING = 4
"""Exit code of a host that left because another one runs for the same model and options."""

_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class HostSpec:
    """Which host is wanted. Two specs with the same key share one host."""

    model: Path
    settings: HostSettings

    def key(self) -> str:
        """Return what tells this host from others: file, options, and version.

        The idle time is left out, so that it does not keep two editors from sharing a host.
        Raises `ModelNotFound` where there is no such file.
        """
        try:
            status = self.model.stat()
        except OSError as error:
            raise ModelNotFound(
                f"the model file {self.model} is not there: {error.strerror}"
            ) from error
        settings, forced = self.settings, forced_setting()
        parts = (
            str(self.model.resolve()),
            status.st_size,
            status.st_mtime_ns,
            settings.threads,
            settings.context_tokens,
            settings.kv_type,
            settings.gpu_layers,
            forced and forced.extra_buffers,
            __version__,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class HostRecord:
    """A running host: where it listens, and the token it asks for."""

    key: str
    pid: int
    port: int
    token: str
    model: str
    version: str

    @property
    def address(self) -> Address:
        """Its OpenAI-compatible API."""
        return Address(f"http://127.0.0.1:{self.port}/v1", self.token)


@dataclass(frozen=True, slots=True)
class Health:
    """What a host says of itself."""

    state: str
    """loading, ready or failed."""

    message: str
    percent: int | None


def record_path(key: str) -> Path:
    """Return the file in which the host with this key is written down."""
    return _runtime_folder() / f"host-{key}.json"


def lock_path(key: str) -> Path:
    """Return the file that the host with this key keeps locked as long as it lives."""
    return _runtime_folder() / f"host-{key}.lock"


def log_path(key: str) -> Path:
    """Return the file to which the host with this key writes its messages."""
    return cache_folder() / f"host-{key}.log"


def read_record(key: str) -> HostRecord | None:
    """Return the host that is written down under this key, alive or not."""
    return _read(record_path(key))


def read_records() -> list[HostRecord]:
    """Return every host that is written down, alive or not."""
    found = (_read(path) for path in sorted(_runtime_folder().glob("host-*.json")))
    return [record for record in found if record is not None]


def write_record(record: HostRecord) -> None:
    """Write a host down. The file appears whole and with mode 0600, or not at all."""
    path = record_path(record.key)
    # The temporary file has mode 0600 from the start.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".host-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
    os.replace(temporary, path)


def remove_record(record: HostRecord) -> None:
    """Remove a host's file, unless another host has written itself down there since."""
    if _read(record_path(record.key)) == record:
        record_path(record.key).unlink(missing_ok=True)


def health(record: HostRecord) -> Health | None:
    """Return how the host is; None where it is gone or another program has its port.

    Raises `TimeoutError` where something accepts the connection and does not answer.
    """
    answer = call(record, "GET", "/health")
    if answer is None:
        return None
    try:
        return Health(str(answer["state"]), str(answer["message"]), answer["percent"])
    except (KeyError, TypeError):
        return None


def call(record: HostRecord, method: str, path: str) -> Any:
    """Return the JSON a host answers with, or None; raises `TimeoutError`."""
    connection = http.client.HTTPConnection("127.0.0.1", record.port, timeout=_PATIENCE_S)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {record.token}"})
        response = connection.getresponse()
        return json.loads(response.read()) if response.status == 200 else None
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _runtime_folder() -> Path:
    try:
        return runtime_folder()
    except OSError as error:
        raise HostFailed(
            f"the folder for running model hosts cannot be used: {error}; set RNJ_HOME"
        ) from error


def _read(path: Path) -> HostRecord | None:
    try:
        value = json.loads(path.read_text("utf-8"))
        return HostRecord(
            key=str(value["key"]),
            pid=int(value["pid"]),
            port=int(value["port"]),
            token=str(value["token"]),
            model=str(value["model"]),
            version=str(value["version"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
