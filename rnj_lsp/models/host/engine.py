"""The engine: one loaded model and its KV cache. Synchronous, for one thread at a time."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from llama_cpp import llama_cpp

from rnj_lsp.models.host.facts import ModelFacts, read_facts
from rnj_lsp.models.host.llama_log import last_error
from rnj_lsp.models.host.loading import EngineOptions, OnProgress, load_model, new_context
from rnj_lsp.models.host.sampling import Sampling, opened_sampler
from rnj_lsp.models.host.stream import TextStream
from rnj_lsp.models.host.vocab import Vocabulary
from rnj_lsp.models.model import ModelBroken, PromptTooLong, Unsupported, Usage

_ABORTED = 2


@dataclass(slots=True)
class EngineCounters:
    """What the engine has done since it was opened; read from any thread."""

    requests: int = 0
    aborted: int = 0
    busy: int = 0
    """1 while a request is being answered."""

    prompt_asked: int = 0
    """Tokens of all prompts."""

    prompt_reused: int = 0
    """Of these, the ones that the KV cache held already."""

    prompt_evaluated: int = 0
    micro_batches: int = 0
    """Micro-batches of prompts that were finished."""

    generated: int = 0
    prompt_s: float = 0.0
    generation_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Generation:
    """What to generate after a prompt."""

    max_tokens: int
    """0 only evaluates the prompt, so that a later request finds it in the KV cache."""

    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    """Ids that end the answer, besides the model's own."""

    show_special: bool = False
    """Special tokens appear in the text by their spelling."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer; the last one carries `finish`."""

    text: str = ""
    finish: Literal["stop", "length", "aborted"] | None = None
    usage: Usage = field(default_factory=Usage)
    """What the answer has cost so far."""


class Abort:
    """A flag that ends one generation, set from any thread; llama.cpp reads it directly."""

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)

    def set(self) -> None:
        """End the generation at the next chance, also inside a batch."""
        self._flag[0] = b"\x01"

    @property
    def is_set(self) -> bool:
        """Whether the generation was told to end."""
        return self._flag[0] == b"\x01"

    def watch(self, context: Any) -> None:
        """Let llama.cpp look at this flag from now on."""
        llama_cpp.llama_set_abort_callback(context, _flag_is_set(), ctypes.addressof(self._flag))


class Engine:
    """A loaded model. Open it with `Engine.open`; close it once no generation runs."""

    def __init__(
        self, model: Any, context: Any, vocabulary: Vocabulary, facts: ModelFacts, micro_batch: int
    ) -> None:
        self.vocabulary = vocabulary
        self.facts = facts
        self.counters = EngineCounters()
        self.context_tokens: int = llama_cpp.llama_n_ctx(context)
        """The window: prompt and answer together."""

        self._model, self._context = model, context
        self._memory = llama_cpp.llama_get_memory(context)
        self._micro_batch = micro_batch
        self._batch = _Batch(micro_batch)
        self._cached: list[int] = []
        """The tokens whose KV entries are in the cache, in order."""

        family, fim = facts.family, facts.family.fim
        ends = (*family.ends, *(fim.ends if fim else ()))
        inner = (*(fim.specials if fim else ()), *(family.file_name or ()))
        vocabulary.reserve((*ends, *inner, *family.other_specials))
        found = (vocabulary.find(text) for text in ends)
        self._ends = vocabulary.ends | {token for token in found if token is not None}

    @classmethod
    def open(
        cls, path: Path, options: EngineOptions, on_progress: OnProgress | None = None
    ) -> Self:
        """Load a model.

        Raises `ModelNotFound` or `HostFailed` with a sentence that says what is wrong with it.
        """
        model = load_model(path, options, on_progress)
        try:
            vocabulary = Vocabulary(llama_cpp.llama_model_get_vocab(model))
            facts = read_facts(path, model, vocabulary)
            context = new_context(model, facts, options)
        except BaseException:
            llama_cpp.llama_model_free(model)
            raise
        engine = cls(model, context, vocabulary, facts, options.micro_batch)
        engine._warm_up()
        return engine

    def close(self) -> None:
        """Free the model's memory; a second call does nothing."""
        if self._context is not None:
            llama_cpp.llama_free(self._context)
            llama_cpp.llama_model_free(self._model)
            self._context = self._model = None

    def prompt_of(self, prefix: str, suffix: str) -> list[int]:
        """Return the token ids that ask for the middle; raises `Unsupported` where it cannot."""
        fim = self.facts.family.fim
        if not self.facts.fills or fim is None:
            raise Unsupported(f"this model cannot fill in the middle: {self.facts.reason}")
        return self.vocabulary.prompt(fim.parts(prefix, suffix))

    def filling(self, request: Generation) -> Generation:
        """Return the request for an answer between prefix and suffix.

        No code holds a control token, so whichever comes there ends the answer.
        """
        return replace(request, stop_tokens=request.stop_tokens | self.vocabulary.controls)

    def require_fit(self, prompt_tokens: int) -> None:
        """Raise where a prompt of this length cannot be answered."""
        if prompt_tokens == 0:
            raise Unsupported("the prompt is empty, and this model has no token to begin with")
        if prompt_tokens >= self.context_tokens:
            largest = self.context_tokens >= (self.facts.context_tokens or sys.maxsize)
            advice = "the model has no larger one" if largest else "raise rnj.host.contextTokens"
            message = (
                f"the prompt has {prompt_tokens} tokens, but the window holds "
                f"{self.context_tokens}, answer included; {advice}"
            )
            raise PromptTooLong(message, prompt_tokens, self.context_tokens)

    def generate(self, prompt: Sequence[int], request: Generation, abort: Abort) -> Iterator[Piece]:
        """Stream the answer to a prompt; the last piece carries `finish` and `usage`.

        Raises `PromptTooLong` before anything else, and `ModelBroken` where llama.cpp fails.
        """
        self.require_fit(len(prompt))
        counters = self.counters
        counters.requests += 1
        counters.prompt_asked += len(prompt)
        counters.busy = 1
        abort.watch(self._context)
        try:
            with opened_sampler(request.sampling) as sampler:
                yield from self._answer(prompt, request, abort, sampler)
        finally:
            counters.busy = 0
            counters.aborted += abort.is_set

    def _answer(
        self, prompt: Sequence[int], request: Generation, abort: Abort, sampler: Any
    ) -> Iterator[Piece]:
        reused = self._keep_common(prompt)
        finish: Literal["stop", "length", "aborted"] = "length"
        stream = TextStream(request.stop)
        limit = min(request.max_tokens, self.context_tokens - len(prompt))
        ends = self._ends | request.stop_tokens
        counters, vocabulary = self.counters, self.vocabulary
        generated = 0
        if not self._evaluate(prompt, abort):
            finish = "aborted"
        began = time.perf_counter()
        while finish == "length" and generated < limit:
            token = llama_cpp.llama_sampler_sample(sampler, self._context, -1)
            if token in ends:
                finish = "stop"
                break
            generated += 1
            counters.generated += 1
            text = stream.feed(vocabulary.piece(token, special=request.show_special))
            if text:
                yield Piece(text, usage=Usage(len(prompt), reused, generated))
            if stream.stopped:
                finish = "stop"
            elif abort.is_set or (generated < limit and not self._decode([token], True)):
                finish = "aborted"
        counters.generation_s += time.perf_counter() - began
        yield Piece(stream.finish(), finish, Usage(len(prompt), reused, generated))

    def _keep_common(self, prompt: Sequence[int]) -> int:
        """Leave in the KV cache what the prompt begins with, and return how much that is."""
        # The last token is always evaluated again, because the answer needs its logits.
        keep = min(_common(self._cached, prompt), len(prompt) - 1)
        if keep < len(self._cached):
            removed = llama_cpp.llama_memory_seq_rm(self._memory, 0, keep, -1)
            # Models with a recurrent state or a sliding window may be unable to go back.
            if keep and not (removed and self._holds(keep)):
                keep = 0
            if not keep:
                llama_cpp.llama_memory_clear(self._memory, False)
            del self._cached[keep:]
        self.counters.prompt_reused += keep
        return keep

    def _holds(self, count: int) -> bool:
        """Whether the cache holds exactly the positions up to this one."""
        first = llama_cpp.llama_memory_seq_pos_min(self._memory, 0)
        last = llama_cpp.llama_memory_seq_pos_max(self._memory, 0)
        return bool(first == 0 and last == count - 1)

    def _evaluate(self, prompt: Sequence[int], abort: Abort) -> bool:
        """Evaluate the part of the prompt that is not cached; False when it was aborted."""
        began = time.perf_counter()
        while len(self._cached) < len(prompt):
            at = len(self._cached)
            tokens = prompt[at : at + self._micro_batch]
            if abort.is_set or not self._decode(tokens, at + len(tokens) == len(prompt)):
                return False
            self.counters.micro_batches += 1
            self.counters.prompt_evaluated += len(tokens)
            self.counters.prompt_s += time.perf_counter() - began
            began = time.perf_counter()
        return True

    def _decode(self, tokens: Sequence[int], logits: bool) -> bool:
        """Evaluate one micro-batch after what is cached; False when it was aborted.

        Afterwards `_cached` says what the KV cache holds, whatever happened.
        """
        result = llama_cpp.llama_decode(self._context, self._batch.filled(tokens, logits))
        if result == 0:
            self._cached += tokens
            return True
        # llama.cpp removes an aborted micro-batch from the cache by itself.
        if result == _ABORTED and self._holds(len(self._cached)):
            return False
        llama_cpp.llama_memory_clear(self._memory, False)
        self._cached.clear()
        if result == _ABORTED:
            return False
        raise ModelBroken(
            f"llama.cpp could not evaluate the prompt (code {result}): {last_error()}"
        )

    def _warm_up(self) -> None:
        """Read all weights once, so that the first answer is not the slow one."""
        self._decode([self.vocabulary.bos or 0], True)
        llama_cpp.llama_memory_clear(self._memory, True)
        self._cached.clear()


class _Batch:
    """llama.cpp's argument for one micro-batch of sequence 0, its arrays made once.

    Null pointers mean: positions follow on, sequence 0, logits of the last token only.
    """

    def __init__(self, size: int) -> None:
        self._tokens = (llama_cpp.llama_token * size)()
        self._no_logits = (ctypes.c_int8 * size)()
        tokens = ctypes.cast(self._tokens, ctypes.POINTER(llama_cpp.llama_token))
        self._value: Any = llama_cpp.llama_batch(token=tokens)
        self._without = ctypes.cast(self._no_logits, ctypes.POINTER(ctypes.c_int8))

    def filled(self, tokens: Sequence[int], logits: bool) -> Any:
        """Return the batch with these tokens."""
        self._tokens[: len(tokens)] = list(tokens)
        self._value.n_tokens = len(tokens)
        self._value.logits = None if logits else self._without
        return self._value


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many leading items two sequences share."""
    low, high = 0, min(len(one), len(other))
    # Slices are compared in C, so halving beats a loop over tokens.
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@cache
def _flag_is_set() -> Any:
    """Return a C function `bool f(void *)` that is true when the byte there is not zero.

    `strlen` is one: of the texts "" and "\\x01". A Python function would need the interpreter's
    lock once per operation of the graph, and so wait for whatever the event loop is doing.
    """
    library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
    return ctypes.cast(library.strlen, llama_cpp.ggml_abort_callback)
