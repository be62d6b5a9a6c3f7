"""A model's vocabulary: text to token ids and back, and its special tokens by their text."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from llama_cpp import llama_cpp

from rnj_lsp.models.catalog import Part, Special
from rnj_lsp.models.model import Unsupported


class Vocabulary:
    """The tokens of one loaded model; usable from any thread as long as the model is loaded."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer
        self._pieces: dict[int, bytes] = {}
        self.size: int = llama_cpp.llama_vocab_n_tokens(pointer)
        self.bos: int | None = _given(llama_cpp.llama_vocab_bos(pointer))
        self.eos: int | None = _given(llama_cpp.llama_vocab_eos(pointer))
        self.adds_bos: bool = self.bos is not None and llama_cpp.llama_vocab_get_add_bos(pointer)
        self.specials: dict[str, int] = {}
        """Text to id of every control and user-defined token."""
        special = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
        controls, ends = set[int](), set[int]()
        for token in range(self.size):
            attributes = llama_cpp.llama_vocab_get_attr(pointer, token)
            if attributes & special:
                self.specials[self.text(token)] = token
            if attributes & llama_cpp.LLAMA_TOKEN_ATTR_CONTROL:
                controls.add(token)
            if llama_cpp.llama_vocab_is_eog(pointer, token):
                ends.add(token)
        self.controls = frozenset(controls)
        """Tokens that are no part of a text: never shown, and never made from a user's text."""

        self.ends = frozenset(ends)
        """What llama.cpp itself takes for an end of generation."""

        self._reserved: re.Pattern[str] | None = None

    def reserve(self, texts: Iterable[str]) -> None:
        """Treat these tokens as control tokens, whatever the file says they are.

        Some files call the tokens of a prompt "user-defined", and such tokens llama.cpp finds in
        any text.
        """
        found = {text: token for text in texts if (token := self.find(text)) is not None}
        wrong = [text for text, token in found.items() if token not in self.controls]
        self.controls |= frozenset(found.values())
        if wrong:
            self._reserved = re.compile("|".join(re.escape(text) for text in wrong))

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Return the ids of a text, without BOS.

        With `special` false, the text of a special token in it is ordinary text. Lone
        surrogates, which UTF-8 cannot hold, become question marks.
        """
        if special or self._reserved is None:
            return self._tokenize(text, special)
        # Cut after its first character, a reserved text is no token any more.
        cuts = [0, *(found.start() + 1 for found in self._reserved.finditer(text)), len(text)]
        pieces = (text[low:high] for low, high in pairwise(cuts))
        return [token for piece in pieces for token in self._tokenize(piece, False)]

    def prompt(self, parts: Iterable[Part]) -> list[int]:
        """Return the ids of a prompt: BOS once where the model wants it, special tokens, text."""
        ids: list[int] = []
        for part in parts:
            if isinstance(part, Special):
                token = self.find(part.text)
                if token is None:
                    raise Unsupported(f"the model's vocabulary has no token {part.text}")
                ids.append(token)
            else:
                ids += self.tokenize(part.text, special=False)
        return self.with_bos(ids)

    def with_bos(self, ids: list[int]) -> list[int]:
        """Return the ids with BOS in front where the model wants it and it is not there yet."""
        if self.bos is None or not self.adds_bos or ids[:1] == [self.bos]:
            return ids
        return [self.bos, *ids]

    def find(self, text: str) -> int | None:
        """Return the id of the special token that is spelled so, or None.

        Where a file lists a well-known token as an ordinary one, llama.cpp corrects it itself.
        """
        return self.specials.get(text)

    def text(self, token: int) -> str:
        """Return the vocabulary's own spelling of a token."""
        text: bytes | None = llama_cpp.llama_vocab_get_text(self._pointer, token)
        return (text or b"").decode("utf-8", "replace")

    def piece(self, token: int, *, special: bool) -> bytes:
        """Return the bytes a token stands for; a control token is empty unless `special`."""
        if token in self.controls:
            return self.text(token).encode() if special else b""
        found = self._pieces.get(token)
        if found is None:
            found = self._pieces[token] = self._read_piece(token)
        return found

    def detected_fim(self) -> tuple[str, str, str] | None:
        """Return llama.cpp's own prefix, suffix and middle tokens, where it knows all three."""
        prefix = _given(llama_cpp.llama_vocab_fim_pre(self._pointer))
        suffix = _given(llama_cpp.llama_vocab_fim_suf(self._pointer))
        middle = _given(llama_cpp.llama_vocab_fim_mid(self._pointer))
        if prefix is None or suffix is None or middle is None:
            return None
        return self.text(prefix), self.text(suffix), self.text(middle)

    def _tokenize(self, text: str, special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 2
        while True:
            ids = (ctypes.c_int32 * room)()
            count = llama_cpp.llama_tokenize(
                self._pointer, data, len(data), ids, room, False, special
            )
            if count >= 0:
                return ids[:count]
            room = -count

    def _read_piece(self, token: int) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = llama_cpp.llama_token_to_piece(self._pointer, token, buffer, room, 0, True)
            if count >= 0:
                return buffer.raw[:count]
            room = -count


def _given(token: int) -> int | None:
    return None if token < 0 else token
