"""Tiny models, engines over them, and the application over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest
import uvicorn

from rnj_lsp.models.host.app import make_app
from rnj_lsp.models.host.engine import Engine
from rnj_lsp.models.host.idle import Idle
from rnj_lsp.models.host.loading import EngineOptions
from rnj_lsp.models.host.record import read_records, remove_record
from rnj_lsp.models.host.run import listening
from rnj_lsp.models.host.service import Service
from tests.support.tiny_gguf import TinyModel, write_tiny_gguf

TOKEN = "a token for tests"

MakeModel = Callable[[TinyModel], Path]
OpenEngine = Callable[..., Engine]


@dataclass(frozen=True, slots=True)
class Running:
    """The application while it runs."""

    client: httpx2.AsyncClient
    service: Service
    port: int


Serve = Callable[[Path], AbstractAsyncContextManager[Running]]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Return a function that writes a tiny model once and gives its file."""
    folder = tmp_path_factory.mktemp("tiny-models")
    written: dict[TinyModel, Path] = {}

    def make(model: TinyModel) -> Path:
        if model not in written:
            path = folder / f"tiny-{len(written)}.gguf"
            write_tiny_gguf(path, model)
            written[model] = path
        return written[model]

    return make


@pytest.fixture
def open_engine(tiny_model: MakeModel) -> Iterator[OpenEngine]:
    """Return a function that opens an engine for a tiny model; it is closed with the test."""
    engines = []

    def make(model: TinyModel, options: EngineOptions | None = None) -> Engine:
        # One thread: waiting for each other, threads are slow where other programs run.
        engine = Engine.open(tiny_model(model), options or EngineOptions(threads=1))
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Return a context manager that runs the application for a model over real HTTP."""
    # The trial in a process of its own has its own tests.
    monkeypatch.setenv("RNJ_HOST_EXTRA_BUFFERS", "off")

    @asynccontextmanager
    async def running(model: Path) -> AsyncIterator[Running]:
        service = Service(model, EngineOptions(threads=1), Idle(0, time.monotonic))
        config = uvicorn.Config(
            make_app(service, TOKEN, lambda: setattr(server, "should_exit", True)),
            log_config=None,
            lifespan="off",
            ws="none",
        )
        server = uvicorn.Server(config)
        with closing(listening()) as listener:
            port = listener.getsockname()[1]
            loading = asyncio.create_task(service.load())
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            headers = {"Authorization": f"Bearer {TOKEN}"}
            url = f"http://127.0.0.1:{port}"
            async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
                yield Running(client, service, port)
            await loading
            server.should_exit = True
            await serving
        await service.close()

    return running


@pytest.fixture
def host_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a home of its own for hosts; whatever runs there is ended with the test."""
    home = tmp_path / "home"
    monkeypatch.setenv("RNJ_HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("RNJ_HOST_EXTRA_BUFFERS", raising=False)
    yield home
    # By environment rather than by record: a test may have destroyed the record.
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("RNJ_HOME") == str(home)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if ours and process.pid != psutil.Process().pid:
            process.kill()
            process.wait(10)
    for record in read_records():
        remove_record(record)
