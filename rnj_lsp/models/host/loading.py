"""Loading: a model file into memory, or its vocabulary alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from llama_cpp import llama_cpp

from rnj_lsp.models.host.facts import ModelFacts, read_facts
from rnj_lsp.models.host.header import weight_type
from rnj_lsp.models.host.llama_log import capture_log, forget_errors, last_error
from rnj_lsp.models.host.vocab import Vocabulary
from rnj_lsp.models.model import HostFailed

_SMALL_BYTES = 64 << 20

OnProgress = Callable[[int], bool]
"""Told the percentage loaded; returning False gives the loading up."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How a model is loaded."""

    context_tokens: int = 8192
    """Tokens of KV cache; never more than the model was trained for."""

    threads: int = 0
    """0: the number of physical cores."""

    kv_type: Literal["f16", "q8_0"] = "f16"
    gpu_layers: int = -1
    """-1: all, where llama.cpp was built for a graphics processor."""

    extra_buffers: bool = True
    """Repack the weights for this processor: faster, and on some processors a crash."""

    micro_batch: int = 128
    """Prompt tokens evaluated at once. It bounds how long an abort can take on a graphics
    processor, where llama.cpp cannot stop inside a batch."""


def inspect(path: Path) -> ModelFacts:
    """Return the facts of a model file after loading its vocabulary only."""
    model = load_model(path, EngineOptions(gpu_layers=0), None, vocab_only=True)
    try:
        return read_facts(path, model, Vocabulary(llama_cpp.llama_model_get_vocab(model)))
    finally:
        llama_cpp.llama_model_free(model)


def load_model(
    path: Path, options: EngineOptions, on_progress: OnProgress | None, vocab_only: bool = False
) -> Any:
    """Return llama.cpp's model, to be freed by the caller.

    Raises `ModelNotFound` or `HostFailed` with a sentence that says what is wrong with it.
    """
    weight_type(path)
    capture_log()
    forget_errors()
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = options.gpu_layers
    params.use_extra_bufts = options.extra_buffers
    params.vocab_only = vocab_only
    given_up = False
    shown = -1

    def progress(done: float, _: Any) -> bool:
        nonlocal shown, given_up
        percent = int(done * 100)
        if on_progress is not None and percent != shown:
            shown = percent
            given_up = not on_progress(percent)
        return not given_up

    callback = llama_cpp.llama_progress_callback(progress)
    params.progress_callback = callback
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
    if given_up:
        raise HostFailed("loading the model was given up")
    if not model:
        raise HostFailed(f"llama.cpp cannot load {path}: {last_error() or 'it does not say why'}")
    return model


def new_context(model: Any, facts: ModelFacts, options: EngineOptions) -> Any:
    """Return llama.cpp's context with its KV cache, to be freed before the model."""
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = min(options.context_tokens, facts.context_tokens or options.context_tokens)
    params.n_batch = params.n_ubatch = options.micro_batch
    # Only a prompt's last token needs logits; room for a batch of them takes 65 MB with Rnj-1.
    params.n_outputs_max = 1
    # In one token of a small model, threads wait for each other longer than they work: with the
    # starter on two busy cores, one made 853 tokens a second and two made 262.
    small = facts.size_bytes < _SMALL_BYTES
    params.n_threads = options.threads or (1 if small else _cores())
    params.n_threads_batch = options.threads or _cores()
    kv_type = {"f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0}[options.kv_type]
    params.type_k = params.type_v = kv_type
    params.no_perf = True
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise HostFailed(
            f"there is no memory for a KV cache of {params.n_ctx} tokens ({last_error()}); "
            "lower rnj.host.contextTokens or set rnj.host.kvType to q8_0"
        )
    return context


def _cores() -> int:
    """Return the physical cores that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(psutil.cpu_count(logical=False) or 1, allowed or 1))
