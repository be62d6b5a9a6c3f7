"""How the next token is chosen, in C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llama_cpp import llama_cpp


@dataclass(frozen=True, slots=True)
class Sampling:
    """The choice of the next token."""

    temperature: float = 0.0
    """0: always the likeliest token."""

    top_p: float = 1.0
    """Choose among the likeliest tokens that together have this probability."""

    top_k: int = 40
    """Choose among this many of the likeliest tokens; 0: all."""

    seed: int | None = None
    """The same seed and prompt give the same answer; None: another one each time."""


@contextmanager
def opened_sampler(sampling: Sampling) -> Iterator[Any]:
    """Give llama.cpp's chain of samplers for one answer, and free it afterwards."""
    params = llama_cpp.llama_sampler_chain_default_params()
    params.no_perf = True
    chain = llama_cpp.llama_sampler_chain_init(params)
    try:
        for sampler in _samplers(sampling):
            llama_cpp.llama_sampler_chain_add(chain, sampler)
        yield chain
    finally:
        llama_cpp.llama_sampler_free(chain)


def _samplers(sampling: Sampling) -> list[Any]:
    if sampling.temperature <= 0:
        return [llama_cpp.llama_sampler_init_greedy()]
    seed = llama_cpp.LLAMA_DEFAULT_SEED if sampling.seed is None else sampling.seed & 0xFFFFFFFF
    return [
        llama_cpp.llama_sampler_init_top_k(sampling.top_k),
        llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1),
        llama_cpp.llama_sampler_init_temp(sampling.temperature),
        llama_cpp.llama_sampler_init_dist(seed),
    ]
