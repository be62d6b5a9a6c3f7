"""The client on a real host: as the model on this machine, and addressed as if it were remote."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rnj_lsp.models.host.launch import running_hosts, stop_host
from rnj_lsp.models.model import (
    ChatRequest,
    CompletionRequest,
    KeyRefused,
    Message,
    Model,
    ModelError,
    ModelState,
    PromptTooLong,
    TokenCount,
)
from rnj_lsp.models.select import open_model
from rnj_lsp.settings import HostSettings
from tests.models.remote import middle, whole
from tests.support.tiny_gguf import TinyModel, write_tiny_gguf

SETTINGS = HostSettings(threads=1, context_tokens=512, idle_minutes=10)


@dataclass
class Local:
    """A model on this machine and what it told the user."""

    model: Model
    states: list[ModelState]


@pytest.fixture
async def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Local]:
    monkeypatch.setenv("RNJ_HOME", str(tmp_path / "home"))
    # It has the starter's order, so what it answers follows the end of the prefix.
    write_tiny_gguf(tmp_path / "tiny.gguf", TinyModel(name="Rnj starter", answer=b" ok!"))
    states: list[ModelState] = []
    model = open_model(str(tmp_path / "tiny.gguf"), SETTINGS, states.append, {})
    try:
        yield Local(model, states)
    finally:
        await model.close()
        for host in running_hosts():
            await asyncio.to_thread(stop_host, host)


async def test_the_local_model_and_the_same_host_as_a_remote_one_answer_alike(
    local: Local,
) -> None:
    await local.model.ready()
    kinds = [state.kind for state in local.states]
    assert kinds == ["loading"] * (len(kinds) - 1) + ["ready"]
    assert (local.model.info.family, local.model.info.context_tokens) == ("starter", 512)
    assert await middle(local.model, "x =", "\n") == " ok!"

    (host,) = running_hosts()
    address = f"http://127.0.0.1:{host.port}/v1"
    remote = open_model(address, SETTINGS, lambda state: None, {"RNJ_API_KEY": host.token})
    assert await middle(remote, "x =", "\n", ("!",)) == " ok"
    assert remote.info.family == "starter"
    chunks = await whole(remote.complete(CompletionRequest("x =", "\n", max_tokens=2)))
    assert chunks[-1].finish == "length"
    assert chunks[-1].usage.completion_tokens == 2
    assert chunks[-1].usage.cached_tokens > 0
    one, other = [await model.count_tokens("<|mid_fim|>") for model in (local.model, remote)]
    assert one == other
    assert one.exact
    assert one.tokens > 1
    request = ChatRequest((Message("user", "hello"),), max_tokens=2)
    assert len(await whole(remote.chat(request))) > 0
    with pytest.raises(PromptTooLong) as caught:
        await middle(remote, "x =" * 500, "")
    assert caught.value.limit_tokens == 512
    await remote.close()

    stranger = open_model(address, SETTINGS, lambda state: None, {"RNJ_API_KEY": "wrong"})
    with pytest.raises(KeyRefused):
        await middle(stranger, "x =", "")
    assert await stranger.count_tokens("abc") == TokenCount(1, exact=False)
    await stranger.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
async def test_a_killed_host_is_replaced_and_the_user_told_once(local: Local) -> None:
    assert await middle(local.model, "x =", "\n") == " ok!"
    for _ in range(2):
        local.states.clear()
        (host,) = running_hosts()
        os.kill(host.pid, signal.SIGKILL)
        assert await middle(local.model, "x =", "\n") == " ok!"
        assert [state.kind for state in local.states if state.kind != "loading"] == ["ready"]
        assert "started again" in local.states[0].message


async def test_a_host_killed_in_the_middle_of_requests_leaves_none_stuck(local: Local) -> None:
    await local.model.ready()
    (host,) = running_hosts()

    async def ask() -> str:
        try:
            return await middle(local.model, "y" * 300, "\n")
        except ModelError as error:
            return type(error).__name__

    tasks = [asyncio.create_task(ask()) for _ in range(6)]
    await asyncio.sleep(0)
    stop_host(host)
    await asyncio.gather(*tasks)
    assert await middle(local.model, "x =", "\n") == " ok!"
