"""The queue in front of the model, without HTTP."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest

from rnj_lsp.models.host.engine import Generation
from rnj_lsp.models.host.idle import Idle
from rnj_lsp.models.host.loading import EngineOptions
from rnj_lsp.models.host.service import Service
from rnj_lsp.models.model import HostFailed
from tests.host.conftest import MakeModel
from tests.support.tiny_gguf import TinyModel


@pytest.fixture(autouse=True)
def _without_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNJ_HOST_EXTRA_BUFFERS", "off")


async def test_requests_are_answered_in_the_order_they_came(tiny_model: MakeModel) -> None:
    service = Service(tiny_model(TinyModel()), EngineOptions(threads=1), Idle(0, time.monotonic))
    await service.load()
    seen: list[int] = []

    async def ask(number: int) -> None:
        async with aclosing(service.stream([number], Generation(max_tokens=5))) as answer:
            async for _ in answer:
                seen.append(number)

    await asyncio.gather(*(ask(number) for number in range(10)))
    # Each is answered to its end before the next one begins.
    assert seen == sorted(seen)
    assert set(seen) == set(range(10))
    await service.close()


async def test_closing_ends_the_answer_in_progress_and_refuses_the_others(
    tiny_model: MakeModel,
) -> None:
    service = Service(tiny_model(TinyModel()), EngineOptions(threads=1), Idle(0, time.monotonic))
    await service.load()
    async with (
        aclosing(service.stream([1], Generation(max_tokens=7000))) as running,
        aclosing(service.stream([2], Generation(max_tokens=7000))) as waiting,
    ):
        await anext(running)
        refused = asyncio.create_task(anext(waiting))
        closing = asyncio.create_task(service.close())
        pieces = [piece async for piece in running]
        assert pieces[-1].finish == "aborted"
        with pytest.raises(HostFailed, match="leaving"):
            await refused
        await closing


async def test_a_host_that_is_loading_or_answering_is_in_use(tiny_model: MakeModel) -> None:
    now_s = 0.0
    service = Service(tiny_model(TinyModel()), EngineOptions(threads=1), Idle(60, lambda: now_s))
    loading = asyncio.create_task(service.load())
    await asyncio.sleep(0)
    assert service.idle.remaining_s() is None
    await loading
    assert service.idle.remaining_s() == 60
    async with aclosing(service.stream([1], Generation(max_tokens=7000))) as answer:
        await anext(answer)
        now_s = 1000.0
        assert service.idle.remaining_s() is None
    assert service.idle.remaining_s() == 60
    await service.close()
