"""Finding and starting hosts: real processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path

import httpx2
import psutil
import pytest

from rnj_lsp.models.endpoint import Address
from rnj_lsp.models.host.launch import HostSpec, LocalEndpoint, running_hosts, stop_host
from rnj_lsp.models.host.record import HostRecord, record_path, write_record
from rnj_lsp.models.model import HostFailed, ModelNotFound, ModelState
from rnj_lsp.settings import HostSettings
from tests.host.conftest import MakeModel
from tests.support.tiny_gguf import TinyModel

pytestmark = pytest.mark.usefixtures("host_home")

SETTINGS = HostSettings(threads=1, context_tokens=2048, idle_minutes=10)


@pytest.fixture
def spec(tiny_model: MakeModel) -> HostSpec:
    return HostSpec(tiny_model(TinyModel()), SETTINGS)


def ignore(_: ModelState) -> None:
    pass


async def complete(address: Address, max_tokens: int = 4) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {address.api_key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as client:
        body = {"prompt": "x =", "max_tokens": max_tokens}
        return await client.post(f"{address.base_url}/completions", json=body)


def pid_at(address: Address) -> int:
    return next(host.pid for host in running_hosts() if host.address == address)


async def test_a_host_is_started_and_reports_its_loading(spec: HostSpec) -> None:
    states: list[ModelState] = []
    address = await LocalEndpoint(spec).connect(states.append)
    assert (await complete(address)).status_code == 200
    assert {state.kind for state in states} == {"loading"}
    assert states[0].message
    assert all(one != other for one, other in itertools.pairwise(states))


async def test_two_servers_that_start_at_once_share_one_host(spec: HostSpec) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from rnj_lsp.models.host.launch import HostSpec, LocalEndpoint
from rnj_lsp.settings import HostSettings
settings = HostSettings(threads=1, context_tokens=2048, idle_minutes=10)
spec = HostSpec(Path(sys.argv[1]), settings)
print(asyncio.run(LocalEndpoint(spec).connect(lambda state: None)).base_url)
"""
    command = (sys.executable, "-c", program, str(spec.model))
    pipe = asyncio.subprocess.PIPE
    servers = [await asyncio.create_subprocess_exec(*command, stdout=pipe) for _ in range(3)]
    said = [(await server.communicate())[0] for server in servers]
    assert len(set(said)) == 1
    assert said[0].startswith(b"http://127.0.0.1:")
    # The servers are gone, and their host goes on.
    (host,) = running_hosts()
    assert host.address.base_url.encode() == said[0].strip()
    assert (await complete(host.address)).status_code == 200


async def test_connects_at_once_in_one_server_share_one_host(spec: HostSpec) -> None:
    endpoint = LocalEndpoint(spec)
    addresses = await asyncio.gather(*(endpoint.connect(ignore) for _ in range(5)))
    assert len(set(addresses)) == 1
    assert len(running_hosts()) == 1


async def test_a_killed_host_is_replaced_at_the_next_connect(spec: HostSpec) -> None:
    endpoint = LocalEndpoint(spec)
    address = await endpoint.connect(ignore)
    pid = pid_at(address)
    asking = asyncio.create_task(complete(address, 2000))
    await asyncio.sleep(0)
    psutil.Process(pid).kill()
    with pytest.raises(httpx2.TransportError):
        await asking
    endpoint.lost(address)
    again = await endpoint.connect(ignore)
    assert again != address
    assert pid_at(again) != pid
    assert (await complete(again)).status_code == 200


async def test_a_connect_that_is_cancelled_can_be_repeated(spec: HostSpec) -> None:
    endpoint = LocalEndpoint(spec)
    for _ in range(3):
        connecting = asyncio.create_task(endpoint.connect(ignore))
        await asyncio.sleep(0.01)
        connecting.cancel()
        await asyncio.wait({connecting})
    assert (await complete(await endpoint.connect(ignore))).status_code == 200
    assert len(running_hosts()) == 1


async def test_a_stale_file_is_replaced(spec: HostSpec) -> None:
    # The process is alive, and is not the host: its number was given to another program.
    stale = HostRecord(spec.key(), os.getpid(), 1, "token", str(spec.model), "0")
    write_record(stale)
    address = await LocalEndpoint(spec).connect(ignore)
    assert (await complete(address)).status_code == 200
    assert pid_at(address) != os.getpid()


async def test_a_damaged_file_is_replaced(spec: HostSpec) -> None:
    record_path(spec.key()).write_text("{")
    address = await LocalEndpoint(spec).connect(ignore)
    assert (await complete(address)).status_code == 200


async def test_another_programs_port_in_a_file_gets_no_token_answered(spec: HostSpec) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        write_record(HostRecord(spec.key(), os.getpid(), port, "token", "", "0"))
        address = await LocalEndpoint(spec).connect(ignore)
        assert f":{port}/" not in address.base_url


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
async def test_address_and_token_are_for_the_user_only(spec: HostSpec) -> None:
    await LocalEndpoint(spec).connect(ignore)
    path = record_path(spec.key())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(json.loads(path.read_text())["token"]) >= 32


async def test_an_idle_host_leaves_and_removes_its_file(spec: HostSpec) -> None:
    short = HostSpec(spec.model, replace(SETTINGS, idle_minutes=0.001))
    address = await LocalEndpoint(short).connect(ignore)
    pid = pid_at(address)
    await asyncio.to_thread(gone, pid)
    assert not record_path(short.key()).exists()


async def test_a_host_that_nobody_can_find_leaves(spec: HostSpec) -> None:
    address = await LocalEndpoint(spec).connect(ignore)
    pid = pid_at(address)
    record_path(spec.key()).unlink()
    await asyncio.to_thread(gone, pid)


@pytest.mark.skipif(os.name != "posix", reason="there is no such signal elsewhere")
async def test_a_host_that_is_ended_by_a_signal_removes_its_file(spec: HostSpec) -> None:
    address = await LocalEndpoint(spec).connect(ignore)
    pid = pid_at(address)
    psutil.Process(pid).terminate()
    await asyncio.to_thread(gone, pid)
    assert not record_path(spec.key()).exists()


async def test_a_stopped_host_is_gone(spec: HostSpec) -> None:
    address = await LocalEndpoint(spec).connect(ignore)
    (host,) = running_hosts()
    asking = asyncio.create_task(complete(address, 2000))
    await asyncio.sleep(0)
    await asyncio.to_thread(stop_host, host)
    assert running_hosts() == []
    assert not is_alive(host.pid)
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_stale_file_stops_no_other_program(spec: HostSpec) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
    )
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        stale = HostRecord(spec.key(), other.pid, port, "token", "", "0")
        write_record(stale)
        await asyncio.to_thread(stop_host, stale)
    assert not record_path(spec.key()).exists()
    await other.communicate(b"\n")
    assert other.returncode == 0


async def test_other_options_mean_another_host(spec: HostSpec) -> None:
    other = HostSpec(spec.model, replace(SETTINGS, context_tokens=1024))
    idle = HostSpec(spec.model, replace(SETTINGS, idle_minutes=20))
    one = await LocalEndpoint(spec).connect(ignore)
    assert await LocalEndpoint(other).connect(ignore) != one
    assert await LocalEndpoint(idle).connect(ignore) == one
    assert len(running_hosts()) == 2


async def test_a_model_that_cannot_be_loaded_says_why_each_time(
    spec: HostSpec, tmp_path: Path
) -> None:
    broken = tmp_path / "half.gguf"
    broken.write_bytes(spec.model.read_bytes()[:100_000])
    endpoint = LocalEndpoint(HostSpec(broken, SETTINGS))
    for _ in range(2):
        with pytest.raises(HostFailed, match="corrupted or incomplete"):
            await endpoint.connect(ignore)
        # Nobody finds the host that failed any more.
        assert not record_path(HostSpec(broken, SETTINGS).key()).exists()
    # Repaired, it is loaded at once.
    shutil.copy(spec.model, broken)
    assert (await complete(await endpoint.connect(ignore))).status_code == 200


async def test_a_missing_model_is_not_found(tmp_path: Path) -> None:
    endpoint = LocalEndpoint(HostSpec(tmp_path / "none.gguf", SETTINGS))
    with pytest.raises(ModelNotFound, match=r"none\.gguf"):
        await endpoint.connect(ignore)


async def test_a_host_that_cannot_start_shows_the_end_of_its_log(
    spec: HostSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A negative number of tokens is none that argparse or llama.cpp takes.
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(HostFailed, match=r"could not be started.*log"):
        await LocalEndpoint(spec).connect(ignore)


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself SIGSEGV there")
async def test_after_a_crash_of_the_trial_the_host_runs_in_safe_mode(
    spec: HostSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNJ_PROBE_CRASH", "1")
    address = await LocalEndpoint(spec).connect(ignore)
    assert (await complete(address)).status_code == 200
    headers = {"Authorization": f"Bearer {address.api_key}"}
    async with httpx2.AsyncClient(headers=headers) as client:
        (model,) = (await client.get(f"{address.base_url}/models")).json()["data"]
    assert model["rnj"]["safe_mode"] is True
    # The next host does not try again.
    stop_host(running_hosts()[0])
    monkeypatch.delenv("RNJ_PROBE_CRASH")
    states: list[ModelState] = []
    endpoint = LocalEndpoint(spec)
    again = await endpoint.connect(states.append)
    headers = {"Authorization": f"Bearer {again.api_key}"}
    async with httpx2.AsyncClient(headers=headers) as client:
        (model,) = (await client.get(f"{again.base_url}/models")).json()["data"]
    assert model["rnj"]["safe_mode"] is True


def gone(pid: int) -> None:
    """Return when a process has ended; a child of ours stays a zombie until it is waited for."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(60)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
