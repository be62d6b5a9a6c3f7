"""Cancelling, losing and finding an endpoint again, and what the user is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, aclosing

import pytest

from rnj_lsp.models.endpoint import Address
from rnj_lsp.models.model import (
    CompletionRequest,
    HostFailed,
    ModelError,
    ModelState,
    ModelTimeout,
    OnState,
)
from rnj_lsp.models.openai_errors import StreamCut
from tests.models.remote import HASTY, remote
from tests.support.fault_server import FaultServer, Mode


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


REQUEST = CompletionRequest("def f(", ")", max_tokens=9)


async def test_closing_the_answer_closes_the_connection(server: FaultServer) -> None:
    server.mode = "hang_after_first"
    async with remote(server) as it:
        async with aclosing(it.model.complete(REQUEST)) as answer:
            assert (await anext(answer)).text == "return "
            assert not server.disconnected.is_set()
        assert await asyncio.to_thread(server.disconnected.wait, 20)


@pytest.mark.parametrize("mode", ["hang", "hang_after_headers", "hang_after_first"])
async def test_cancelling_the_task_closes_the_connection(server: FaultServer, mode: Mode) -> None:
    server.mode = mode
    async with remote(server) as it:
        task = asyncio.create_task(it.fill())
        assert await asyncio.to_thread(server.received.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.disconnected.wait, 20)
        server.mode = "good"
        assert await it.fill() == "return a + b"
    assert it.kinds == ["ready"]


async def test_a_stop_text_closes_the_connection(server: FaultServer) -> None:
    server.mode = "hang_after_first"
    async with remote(server) as it:
        request = CompletionRequest("a", "b", max_tokens=9, stop=("urn",))
        async with aclosing(it.model.complete(request)) as answer:
            chunks = [chunk async for chunk in answer]
        assert [(chunk.text, chunk.finish) for chunk in chunks] == [("ret", "stop")]
        assert await asyncio.to_thread(server.disconnected.wait, 20)


async def test_a_time_limit_closes_the_connection(server: FaultServer) -> None:
    server.mode = "hang"
    async with remote(server, patience=HASTY) as it:
        assert isinstance(await it.failure(), ModelTimeout)
        assert await asyncio.to_thread(server.disconnected.wait, 20)


async def test_closing_the_model_ends_what_is_running(server: FaultServer) -> None:
    server.mode = "hang_after_first"
    async with remote(server) as it:
        async with aclosing(it.model.complete(REQUEST)) as answer:
            await anext(answer)
            await it.model.close()
            with pytest.raises(ModelError):
                await anext(answer)
        assert await asyncio.to_thread(server.disconnected.wait, 20)


async def test_requests_run_side_by_side_and_a_closed_one_leaves_the_others(
    server: FaultServer,
) -> None:
    async with remote(server) as it:
        server.mode = "hang"
        hanging = asyncio.create_task(it.fill())
        assert await asyncio.to_thread(server.received.wait, 20)
        server.mode = "good"
        texts = await asyncio.gather(*(it.fill() for _ in range(8)))
        assert texts == ["return a + b"] * 8
        assert not hanging.done()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging


async def test_the_user_is_told_once_that_it_is_lost_and_once_that_it_is_back(
    server: FaultServer,
) -> None:
    async with remote(server) as it:
        await it.fill()
        await it.fill()
        assert it.kinds == ["ready"]
        server.stop()
        for _ in range(3):
            await it.failure()
        assert it.kinds == ["ready", "unreachable"]
        server.start()
        await it.fill()
        await it.fill()
        assert it.kinds == ["ready", "unreachable", "ready"]
    assert "the test server" in it.states[1].message
    assert "again" in it.states[2].message


async def test_a_wrong_key_is_told_once(server: FaultServer) -> None:
    server.mode = "wrong_key"
    async with remote(server) as it:
        await it.failure()
        await it.failure()
        assert it.kinds == ["unreachable"]
    assert "RNJ_API_KEY" in it.states[0].message


async def test_one_slow_or_broken_answer_is_not_a_lost_model_but_two_are(
    server: FaultServer,
) -> None:
    server.mode = "server_error"
    async with remote(server) as it:
        await it.failure()
        assert it.kinds == []
        await it.failure()
        await it.failure()
        assert it.kinds == ["unreachable"]


@pytest.mark.parametrize("mode", ["no_model", "server_error", "hang"])
async def test_an_endpoint_that_is_there_but_does_not_work_is_told_once(
    server: FaultServer, mode: Mode
) -> None:
    server.mode = mode
    async with remote(server, patience=HASTY) as it:
        for _ in range(3):
            await it.model.ready()
            await it.failure()
        assert it.kinds == ["ready", "unreachable"]
        server.mode = "good"
        await it.model.ready()
        await it.fill()
        assert it.kinds == ["ready", "unreachable", "ready"]


@pytest.mark.parametrize("mode", ["rate_limited", "too_long"])
async def test_a_refusal_of_one_request_is_not_a_lost_model(
    server: FaultServer, mode: Mode
) -> None:
    server.mode = mode
    async with remote(server) as it:
        await it.failure()
        await it.failure()
        assert it.kinds == ["ready"]


async def test_ready_tells_whether_the_endpoint_answers(server: FaultServer) -> None:
    async with remote(server) as it:
        await it.model.ready()
        assert it.kinds == ["ready"]
        server.mode = "wrong_key"
    async with remote(server) as it:
        with pytest.raises(ModelError, match="RNJ_API_KEY"):
            await it.model.ready()
        assert it.kinds == ["unreachable"]
    assert server.requests == []


async def test_a_reset_before_the_answer_is_tried_once_more(server: FaultServer) -> None:
    server.mode = "reset"
    async with remote(server) as it:
        await it.failure()
    assert len(server.requests) == 2


async def test_a_cut_answer_is_not_asked_for_again(server: FaultServer) -> None:
    server.mode = "cut"
    async with remote(server) as it:
        await it.failure()
    assert len(server.requests) == 1


class Hosts:
    """An endpoint that can be started again: the next server takes a lost one's place."""

    restartable = True

    def __init__(self, *servers: FaultServer) -> None:
        self.left = list(servers)
        self.lost_addresses: list[str] = []

    async def connect(self, on_state: OnState) -> Address:
        on_state(ModelState("ready", "the host has loaded its model"))
        return Address(self.left[0].base_url, "token")

    def lost(self, address: Address) -> None:
        self.lost_addresses.append(address.base_url)
        if len(self.left) > 1 and address.base_url == self.left[0].base_url:
            self.left.pop(0)


@pytest.fixture
def three() -> Iterator[list[FaultServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(FaultServer()) for _ in range(3)]


@pytest.mark.parametrize("mode", ["reset", "cut_before_text"])
async def test_a_host_that_dies_is_replaced_and_the_request_is_repeated_once(
    three: list[FaultServer], mode: Mode
) -> None:
    first, second, _ = three
    hosts = Hosts(*three)
    async with remote(hosts) as it:
        await it.fill()
        first.mode = mode
        assert await it.fill() == "return a + b"
        assert [len(server.requests) for server in three] == [2, 1, 0]
        assert it.kinds == ["ready", "loading", "ready"]
        assert hosts.lost_addresses == [first.base_url]
        assert await it.fill() == "return a + b"
        assert len(second.requests) == 2
        assert it.kinds == ["ready", "loading", "ready"]


async def test_a_host_that_is_gone_is_replaced(three: list[FaultServer]) -> None:
    async with remote(Hosts(*three)) as it:
        await it.fill()
        three[0].stop()
        assert await it.fill() == "return a + b"


async def test_a_request_that_kills_two_hosts_is_given_up(three: list[FaultServer]) -> None:
    three[0].mode = three[1].mode = "reset"
    async with remote(Hosts(*three)) as it:
        error = await it.failure()
        assert isinstance(error, HostFailed)
        assert "doctor" in str(error)
        assert it.kinds == ["ready", "loading", "ready", "unreachable"]
        assert await it.fill() == "return a + b"
        assert it.kinds[-1] == "ready"


async def test_a_host_that_dies_in_the_middle_of_its_text_is_an_error_and_then_replaced(
    three: list[FaultServer],
) -> None:
    three[0].mode = "cut"
    async with remote(Hosts(*three)) as it:
        assert isinstance(await it.failure(), StreamCut)
        assert await it.fill() == "return a + b"


async def test_a_host_that_cannot_be_started_is_the_endpoints_own_error() -> None:
    class Broken:
        restartable = True

        async def connect(self, on_state: OnState) -> Address:
            raise HostFailed("there is not enough memory")

        def lost(self, address: Address) -> None:
            raise AssertionError("nothing was found that could be lost")

    async with remote(Broken()) as it:
        assert str(await it.failure()) == "there is not enough memory"
        await it.failure()
        assert it.kinds == ["unreachable"]
