"""The whole chain: a bare client, the server, a real model host, and the bundled model."""

from __future__ import annotations

import _pydecimal
import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rnj_lsp.bench.client import LspClient
from rnj_lsp.models.host.launch import HostRecord, running_hosts, stop_host
from rnj_lsp.source.document import Document, Span
from rnj_lsp.source.edits import Edit, apply
from rnj_lsp.source.syntax import Syntax, syntax
from tests.support.editor import editor

REAL = Path(str(_pydecimal.__file__))
"""More than 5,000 lines of real Python that nobody prepared."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give each test its own host, and end it."""
    monkeypatch.setenv("RNJ_HOME", str(tmp_path / "home"))
    yield tmp_path
    for record in running_hosts():
        stop_host(record)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[LspClient]:
    async with editor(tmp_path, model="starter") as opened:
        yield opened


def only_host() -> HostRecord:
    (record,) = running_hosts()
    return record


def parsed(text: str) -> Syntax:
    found = syntax(Document("file:///a.py", "/a.py", "python", 0, text))
    assert found is not None
    return found


def code_lines(text: str, count: int) -> list[int]:
    """Return evenly spread lines of code, neither in comments nor in strings."""
    tree, lines, start, found = parsed(text), text.split("\n"), 0, []
    for number, line in enumerate(lines):
        inside = start + len(line) - len(line.lstrip())
        code = len(line.strip()) > 12 and not (
            tree.in_comment(inside + 1) or tree.in_string(inside)
        )
        if code and not line.strip().startswith(('"', "#", "'")):
            found.append(number)
        start += len(line) + 1
    return found[:: len(found) // count][:count]


async def test_twenty_holes_in_a_real_file_get_suggestions_that_keep_its_syntax(
    client: LspClient,
) -> None:
    text = REAL.read_text(encoding="utf-8")
    lines = text.split("\n")
    assert len(lines) > 5000
    uri = REAL.as_uri()
    client.open(uri, "python", text)
    version, answered, kept = 1, 0, 0
    for number in code_lines(text, 20):
        line = lines[number]
        # Half of the code of the line is taken out: the user is in the middle of writing it.
        indent = len(line) - len(line.lstrip())
        column = indent + (len(line) - indent) // 2
        while column < len(line) and line[column - 1].isalnum():
            column += 1
        end = {"line": number, "character": len(line)}
        here = {"line": number, "character": column}
        version += 1
        client.change(uri, version, [{"range": {"start": here, "end": end}, "text": ""}])
        items = await client.inline_completion(uri, number, column)
        assert isinstance(items, list)
        offset = sum(len(each) + 1 for each in lines[:number]) + column
        holed = text[:offset] + text[offset + len(line) - column :]
        for item in items:
            assert item["range"] == {"start": here, "end": here}
            filled = apply(holed, [Edit(Span(offset, offset), item["insertText"])])
            answered += 1
            kept += parsed(filled).error_count <= parsed(holed).error_count
        version += 1
        client.change(
            uri, version, [{"range": {"start": here, "end": here}, "text": line[column:]}]
        )
    print(f"{answered} suggestions at 20 places, {kept} keep the syntax")
    assert answered >= 16
    assert kept >= 0.9 * answered


HOLE = "class Box:\n    def __init__(self) ->\n        self.items = []\n"
"""A hole that any model fills, at the end of its second line."""


async def suggested(client: LspClient, uri: str) -> Any:
    """Return the items for the hole, in a new document."""
    client.open(uri, "python", HOLE)
    return await client.inline_completion(uri, 1, len("    def __init__(self) ->"))


async def test_a_host_killed_in_the_middle_of_a_request_is_replaced_unnoticed(
    client: LspClient,
) -> None:
    assert await suggested(client, "file:///one.py")
    first = only_host()
    text = REAL.read_text(encoding="utf-8")
    client.open(REAL.as_uri(), "python", text)
    asked = asyncio.create_task(client.inline_completion(REAL.as_uri(), 3000, 0))
    await asyncio.sleep(0)
    os.kill(first.pid, signal.SIGKILL)
    assert isinstance(await asked, list)
    assert await suggested(client, "file:///two.py")
    assert only_host().pid != first.pid


async def test_two_servers_share_one_host_and_it_outlives_both(tmp_path: Path) -> None:
    async with (
        editor(tmp_path, model="starter") as one,
        editor(tmp_path, model="starter") as two,
    ):
        answers = await asyncio.gather(
            suggested(one, "file:///one.py"),
            suggested(two, "file:///two.py"),
        )
        assert all(answers)
        host = only_host()
        assert await one.close() == 0
        assert await two.close() == 0
    assert psutil.pid_exists(host.pid)


async def test_the_last_one_gone_the_host_leaves_after_its_idle_time(tmp_path: Path) -> None:
    settings = {"host": {"idleMinutes": 0.05}}
    async with editor(tmp_path, model="starter", settings=settings) as client:
        assert await suggested(client, "file:///one.py")
        host = psutil.Process(only_host().pid)
        assert await client.close() == 0
    await asyncio.to_thread(psutil.wait_procs, [host])
    assert running_hosts() == []


async def test_loading_shows_progress_and_the_starter_says_once_how_to_get_the_real_one(
    client: LspClient, tmp_path: Path
) -> None:
    await client.notification("rnj/status", state="ready", starter=True)
    shown = await client.notification("window/showMessage", type=3)
    assert "rnj-lsp models pull rnj-1-instruct" in shown["message"]
    assert "window/workDoneProgress/create" in client.server_requests
    begun = await client.notification("$/progress")
    assert begun["value"]["kind"] == "begin"
    async with editor(tmp_path, model="starter") as again:
        await again.notification("rnj/status", state="ready", starter=True)
        assert await suggested(again, "file:///one.py")
        messages = [
            message for message in again.notifications if message["method"] == "window/showMessage"
        ]
        assert messages == []


async def test_the_own_host_is_a_remote_endpoint_like_any_other(
    client: LspClient, tmp_path: Path
) -> None:
    assert await suggested(client, "file:///one.py")
    address = only_host().address
    environ = {"RNJ_API_KEY": address.api_key}
    async with editor(tmp_path, model=address.base_url, environ=environ) as remote:
        await remote.notification("rnj/status", state="ready")
        assert await suggested(remote, "file:///one.py")
