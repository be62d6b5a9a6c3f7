"""A GGUF model in llama.cpp, with just what checking and evaluating it needs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import llama_cpp
import numpy as np
from numpy.typing import NDArray

import tokenizer as bpe


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def silent(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    """Swallow llama.cpp's log."""


class Llama:
    """One loaded model with one sequence; use it as a context manager."""

    def __init__(self, path: Path, context: int = 1024, threads: int = 2) -> None:
        llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        model_settings = llama_cpp.llama_model_default_params()
        # Repacked weights crash on some processors that announce AMX; nothing here needs them.
        model_settings.use_extra_bufts = False
        model_settings.n_gpu_layers = 0
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), model_settings)
        if model is None:
            raise SystemExit(f"llama.cpp cannot load {path}")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = context
        settings.n_threads = settings.n_threads_batch = threads
        opened = llama_cpp.llama_init_from_model(model, settings)
        if opened is None:
            raise SystemExit(f"llama.cpp cannot open a context of {context} tokens")
        self.model, self.opened, self.context = model, opened, context
        self.vocab = llama_cpp.llama_model_get_vocab(model)
        self.size = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.batch = llama_cpp.llama_batch_init(context, 0, 1)
        self.used = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_free(self.opened)
        llama_cpp.llama_model_free(self.model)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of plain text: no begin token, and special names stay ordinary text."""
        data = text.encode()
        room = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(self.vocab, data, len(data), room, len(room), False, False)
        return list(room[:count])

    def text(self, tokens: Iterable[int]) -> str:
        """The text of tokens; special ones are left out, broken UTF-8 is replaced."""
        piece = ctypes.create_string_buffer(256)
        data = b""
        for token in tokens:
            count = llama_cpp.llama_token_to_piece(self.vocab, token, piece, 256, 0, False)
            data += piece.raw[: max(0, count)]
        return data.decode(errors="replace")

    def keep(self, count: int) -> None:
        """Forget all but the first tokens of the sequence."""
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(self.opened), 0, count, -1)
        self.used = count

    def feed(self, tokens: Sequence[int], every: bool = False) -> NDArray[np.float32]:
        """Append tokens; logits after the last one, or after each, (positions, vocabulary)."""
        self.batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            self.batch.token[index] = token
            self.batch.pos[index] = self.used + index
            self.batch.n_seq_id[index] = 1
            self.batch.seq_id[index][0] = 0
            self.batch.logits[index] = every or index == len(tokens) - 1
        status = llama_cpp.llama_decode(self.opened, self.batch)
        if status != 0:
            raise RuntimeError(f"llama_decode failed with {status}")
        self.used += len(tokens)
        rows = len(tokens) if every else 1
        pointer = llama_cpp.llama_get_logits(self.opened)
        return np.ctypeslib.as_array(pointer, shape=(rows * self.size,)).reshape(rows, -1).copy()

    def generate(
        self, prompt: Sequence[int], limit: int, enough: Callable[[list[int]], bool] | None = None
    ) -> tuple[list[int], bool]:
        """Greedy continuation, and whether the model ended it by itself.

        Ends at an end token, after `limit` tokens, or when `enough` says so.
        """
        self.keep(0)
        logits = self.feed(prompt)
        made: list[int] = []
        while len(made) < limit:
            token = int(logits[0].argmax())
            if token in (bpe.EOC, bpe.END):
                return made, True
            made.append(token)
            if (enough is not None and enough(made)) or self.used >= self.context:
                break
            logits = self.feed([token])
        return made, False


def infill_prompt(llama: Llama, prefix: str, suffix: str, room: int) -> list[int]:
    """The prompt for a hole in at most `room` tokens: begin, pre, suf, suffix, mid, prefix.

    `prefix` starts with the line that names the file; that line stays when the rest is cut. The
    prefix is cut at a line's start and the suffix at a line's end, the suffix first.
    """
    name, _, body = prefix.partition("\n")
    name += "\n"
    free = room - 4
    given = llama.tokenize(suffix)
    while len(given) > free // 3 and "\n" in suffix.rstrip("\n"):
        suffix = suffix[: int(len(suffix) * 0.9)].rpartition("\n")[0]
        given = llama.tokenize(suffix)
    given = given[: free // 2]
    leading = llama.tokenize(name + body)
    while len(given) + len(leading) > free and "\n" in body:
        body = body[len(body) // 12 + 1 :].partition("\n")[2]
        leading = llama.tokenize(name + body)
    leading = leading[-(free - len(given)) :]
    return [bpe.BEGIN, bpe.PRE, bpe.SUF, *given, bpe.MID, *leading]
