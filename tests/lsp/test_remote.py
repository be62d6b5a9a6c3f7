"""A remote endpoint that fails in every way: a reason each time, and recovery without restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rnj_lsp.bench.client import LspClient
from tests.support.editor import editor
from tests.support.fault_server import FaultServer, Mode

URI = "file:///project/a.py"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.pieces = ["a", " + ", "b"]
        # With a rest, later requests would be refused here for as long.
        running.retry_after = "0"
        yield running


@pytest.fixture
async def client(tmp_path: Path, server: FaultServer) -> AsyncIterator[LspClient]:
    model = f"{server.base_url}#EssentialAI/rnj-1-instruct"
    async with editor(tmp_path, model=model, environ={"RNJ_API_KEY": "key-1234"}) as opened:
        opened.open(URI, "python", "x = \n" * 50)
        yield opened


async def ask(client: LspClient, line: int) -> Any:
    return await client.inline_completion(URI, line, 4)


async def why(client: LspClient) -> str:
    params = {"command": "rnj.why", "arguments": [URI]}
    return str((await client.request("workspace/executeCommand", params))["message"])


async def test_one_setting_is_enough_to_complete_from_an_endpoint(
    client: LspClient, server: FaultServer
) -> None:
    items = await ask(client, 0)
    assert [item["insertText"] for item in items] == ["a + b"]
    body = server.requests[-1].body
    assert body["prompt"].startswith("<|pre_fim|>")
    assert body["prompt"].endswith("<|mid_fim|>")
    assert body["stop_token_ids"] == [128005, 128009, 128001]
    assert len(body["stop"]) <= 4
    assert server.requests[-1].headers["authorization"] == "Bearer key-1234"


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("wrong_key", "key"),
        ("no_model", "EssentialAI/rnj-1-instruct"),
        ("rate_limited", "too many requests"),
        ("server_error", "500"),
        ("cut", "in the middle"),
        ("not_json", "127.0.0.1"),
        ("html", "127.0.0.1"),
        ("reset", "127.0.0.1"),
    ],
)
async def test_each_fault_has_its_reason_and_ends_with_it(
    client: LspClient, server: FaultServer, mode: Mode, says: str
) -> None:
    assert await ask(client, 0)
    server.mode = mode
    assert await ask(client, 1) == []
    message = await why(client)
    assert says in message
    assert "key-1234" not in message
    server.mode = "good"
    assert [item["insertText"] for item in await ask(client, 2)] == ["a + b"]


@pytest.mark.parametrize("mode", ["hang", "hang_after_headers", "hang_after_first"])
async def test_a_hanging_endpoint_holds_nothing_up(
    client: LspClient, server: FaultServer, mode: Mode
) -> None:
    assert await ask(client, 0)
    server.mode = mode
    server.received.clear()
    stuck = asyncio.create_task(ask(client, 1))
    await asyncio.to_thread(server.received.wait)
    server.received.clear()
    newer = asyncio.create_task(ask(client, 2))
    assert await stuck == []
    await asyncio.to_thread(server.received.wait)
    server.mode = "good"
    assert [item["insertText"] for item in await ask(client, 3)] == ["a + b"]
    await newer


async def test_a_lost_endpoint_is_said_once_and_so_is_its_return(
    client: LspClient, server: FaultServer
) -> None:
    assert await ask(client, 0)
    server.stop()
    for line in (1, 2, 3):
        assert await ask(client, line) == []
    status = await client.notification("rnj/status", state="unreachable")
    assert "127.0.0.1" in status["message"]
    server.start()
    assert await ask(client, 4)
    await client.notification("rnj/status", state="ready")
    shown = [
        message["params"]["type"]
        for message in client.notifications
        if message["method"] == "window/showMessage"
    ]
    assert shown == [2, 3]
