"""`rnj-lsp bench engine`: start-up times, tokens a second, and memory of server and host."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from rnj_lsp.bench.client import LspClient
from rnj_lsp.models.host.launch import running_hosts, stop_host
from rnj_lsp.models.model import CompletionRequest, Model, Usage
from rnj_lsp.models.select import open_model, resolve
from rnj_lsp.settings import HostSettings

_SAMPLE = Path(argparse.__file__)
"""A real file of some 2,600 lines that every Python has."""

_RUNS = 5
_TYPED_AT = "        # if no optionals or positionals are available"
"""Where typing goes on in the sample; any line in its middle would do."""

_TYPED = "        value = self._get_value(action, arg_string)"
_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured. Times are medians in milliseconds, memory is resident, in MiB."""

    model: str
    initialize_ms: float
    """From the start of the server's process to its answer to `initialize`."""

    first_suggestion_cold_ms: float
    """From the start of the server, with no host running, to the first ghost text."""

    first_suggestion_warm_ms: float
    """The same with a host that has the model loaded."""

    keystroke_ms: float
    """One suggestion while typing, every prompt extending the last one."""

    prompt_tokens_per_s: float
    generated_tokens_per_s: float
    keystroke_tokens_evaluated: float
    """Prompt tokens evaluated for one keystroke; the rest of the prompt was in the KV cache."""

    keystroke_prompt_tokens: float
    server_mib: float
    host_mib: float

    @property
    def evaluated_share(self) -> float:
        """The part of the prompt that a keystroke evaluates: the smaller, the better."""
        return self.keystroke_tokens_evaluated / max(1.0, self.keystroke_prompt_tokens)


def bench_engine(model: str | None, as_json: bool) -> int:
    """Measure in private folders, so that running hosts are not disturbed; print the figures."""
    spec = model or os.environ.get("RNJ_MODEL", "auto")
    figures = asyncio.run(_measure(spec))
    if as_json:
        print(json.dumps(asdict(figures) | {"evaluated_share": figures.evaluated_share}, indent=2))
        return 0
    table = Table(title=f"{figures.model} on this machine", box=None, pad_edge=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in _rows(figures):
        table.add_row(name, value)
    Console().print(table)
    return 0


def _rows(figures: Figures) -> list[tuple[str, str]]:
    warm, cold = figures.first_suggestion_warm_ms, figures.first_suggestion_cold_ms
    return [
        ("answer to initialize", f"{figures.initialize_ms:.0f} ms"),
        ("first suggestion, no host running", f"{cold:.0f} ms"),
        ("first suggestion, host running", f"{warm:.0f} ms ({warm / cold:.0%} of the above)"),
        ("suggestion while typing", f"{figures.keystroke_ms:.0f} ms"),
        (
            "prompt tokens evaluated a keystroke",
            f"{figures.keystroke_tokens_evaluated:.0f} of {figures.keystroke_prompt_tokens:.0f}"
            f" ({figures.evaluated_share:.1%})",
        ),
        ("prompt", f"{figures.prompt_tokens_per_s:.0f} tokens/s"),
        ("generation", f"{figures.generated_tokens_per_s:.0f} tokens/s"),
        ("memory of the server", f"{figures.server_mib:.0f} MiB"),
        ("memory of the host", f"{figures.host_mib:.0f} MiB"),
    ]


async def _measure(spec: str) -> Figures:
    # Resolved first, because in the private folders no downloaded model is known.
    choice = resolve(spec, os.environ)
    own = str(choice.path) if choice.path is not None else spec
    with _private_home() as home:
        try:
            return await _measure_in(own, {"RNJ_MODEL": own, "RNJ_HOME": home})
        finally:
            _stop_hosts()


@contextmanager
def _private_home() -> Iterator[str]:
    """Keep hosts and caches in a folder of our own for a while."""
    before = os.environ.get("RNJ_HOME")
    with tempfile.TemporaryDirectory(prefix="rnj-bench-") as home:
        os.environ["RNJ_HOME"] = home
        try:
            yield home
        finally:
            if before is None:
                del os.environ["RNJ_HOME"]
            else:
                os.environ["RNJ_HOME"] = before


async def _measure_in(spec: str, environ: Mapping[str, str]) -> Figures:
    initialize = [await _initialize_ms(environ) for _ in range(_RUNS)]
    _stop_hosts()
    cold = await _first_suggestion_ms(environ)
    warm = [await _first_suggestion_ms(environ) for _ in range(_RUNS)]
    typing = await _type(environ)
    model = open_model(spec, HostSettings(), lambda state: None, os.environ)
    try:
        await model.ready()
        prompt_rate, generation_rate = await _rates(model)
        name = model.info.name
    finally:
        await model.close()
    hosts = [_mib(record.pid) for record in running_hosts()]
    return Figures(
        model=name,
        initialize_ms=statistics.median(initialize),
        first_suggestion_cold_ms=cold,
        first_suggestion_warm_ms=statistics.median(warm),
        keystroke_ms=typing.ms,
        prompt_tokens_per_s=prompt_rate,
        generated_tokens_per_s=generation_rate,
        keystroke_tokens_evaluated=typing.evaluated,
        keystroke_prompt_tokens=typing.prompt,
        server_mib=typing.server_mib,
        host_mib=sum(hosts),
    )


def _stop_hosts() -> None:
    for record in running_hosts():
        stop_host(record)


@asynccontextmanager
async def _server(environ: Mapping[str, str]) -> AsyncIterator[LspClient]:
    client = await LspClient.start(environ=environ, errors=asyncio.subprocess.DEVNULL)
    try:
        yield client
    finally:
        await client.kill()


async def _initialize_ms(environ: Mapping[str, str]) -> float:
    began = time.perf_counter()
    async with _server(environ) as client:
        await client.initialize()
        return _since(began)


async def _first_suggestion_ms(environ: Mapping[str, str]) -> float:
    text = _sample()
    began = time.perf_counter()
    async with _server(environ) as client:
        await client.initialize()
        client.open(_SAMPLE.as_uri(), "python", text)
        line = text[: text.index(_TYPED_AT)].count("\n")
        for character in range(8, 40):
            # The model may have nothing to say at a place; the first suggestion counts.
            if await client.inline_completion(_SAMPLE.as_uri(), line, character):
                return _since(began)
    raise RuntimeError("the model suggested nothing in a whole line")


@dataclass(frozen=True, slots=True)
class _Typing:
    ms: float
    evaluated: float
    prompt: float
    server_mib: float


async def _type(environ: Mapping[str, str]) -> _Typing:
    """Type a line into the middle of a file, asking after every character."""
    text, uri = _sample(), _SAMPLE.as_uri()
    line = text[: text.index(_TYPED_AT)].count("\n")
    times = []
    async with _server(environ) as client:
        await client.initialize()
        client.open(uri, "python", text)
        for column, character in enumerate(_TYPED):
            at = {"line": line, "character": column}
            change = {"range": {"start": at, "end": at}, "text": character}
            client.change(uri, column + 2, [change])
            began = time.perf_counter()
            await client.inline_completion(uri, line, column + 1)
            times.append(_since(began))
        command = {"command": "rnj.why", "arguments": [uri]}
        told = await client.request("workspace/executeCommand", command)
        asked = [entry for entry in told["entries"] if entry["prompt_tokens"] > 0]
        return _Typing(
            ms=statistics.median(times),
            evaluated=statistics.median(e["prompt_tokens"] - e["cached_tokens"] for e in asked),
            prompt=statistics.median(e["prompt_tokens"] for e in asked),
            server_mib=_mib(client.process.pid),
        )


async def _rates(model: Model) -> tuple[float, float]:
    """Return prompt tokens and generated tokens a second, medians of several different prompts."""
    text = _sample()
    # About half of a small model's window, at three characters a token.
    length = min(4_000, model.info.context_tokens * 3 // 2)
    prompt_rates, generation_rates = [], []
    for run in range(_RUNS):
        prefix = text[run * length : (run + 1) * length]
        request = CompletionRequest(prefix, "", max_tokens=64)
        began = time.perf_counter()
        first, usage = 0.0, Usage()
        async with aclosing(model.complete(request)) as chunks:
            async for chunk in chunks:
                first = first or time.perf_counter()
                usage = chunk.usage if chunk.finish else usage
        ended = time.perf_counter()
        prompt_rates.append((usage.prompt_tokens - max(0, usage.cached_tokens)) / (first - began))
        if usage.completion_tokens > 1:
            generation_rates.append((usage.completion_tokens - 1) / (ended - first))
    return statistics.median(prompt_rates), statistics.median(generation_rates or [0.0])


def _sample() -> str:
    return _SAMPLE.read_text(encoding="utf-8")


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def _mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / _MEBIBYTE
