"""Special-token literals in user text, made harmless for endpoints that tokenize text.

A user's file may contain the text `<|mid_fim|>`. An endpoint that takes only text would read it
as the token. So one word joiner (U+2060, which has no width) goes behind its first character,
and is taken out of the answer again. A literal that already holds joiners gets one more, and one
less on the way back, so `restore(hide(text)) == text` for every text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from rnj_lsp.models.catalog import Family

JOINER = "\u2060"

_LONGEST = 96
"""Characters of the longest literal that a stream is held back for."""

_USUAL = rf"(?:\|[^|<>\s{JOINER}]{{1,48}}\|>|｜[^｜<>\s{JOINER}]{{1,48}}｜>)"
"""What follows `<` in most vocabularies' special tokens, whatever the family."""

_CLOSING = {"<": ">", "[": "]"}
"""First and last characters of all special tokens."""


class Neutraliser:
    """Hides and restores the special-token literals of one family, or the usual ones of any."""

    def __init__(self, family: Family | None) -> None:
        named = sorted(special_texts(family), key=len, reverse=True) if family else []
        forms = [(re.escape(text[0]), re.escape(text[1:])) for text in named] + [("<", _USUAL)]
        self._literal = _either(forms, f"{JOINER}*")
        self._hidden = _either(forms, f"{JOINER}+")

    def hide(self, text: str) -> str:
        """Return the text without any literal that could be read as a special token."""
        return self._literal.sub(lambda match: match[0][0] + JOINER + match[0][1:], text)

    def restore(self, text: str) -> str:
        """Return the text as it was before `hide`."""
        return self._hidden.sub(lambda match: match[0][0] + match[0][2:], text)

    def restore_json(self, text: str) -> str:
        """Return JSON text with the literals in its strings restored, however it escapes them.

        Text that is not JSON is restored as it stands.
        """
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return self.restore(text)
        restored = self._restored(value)
        # Text without hidden literals stays exactly as the model wrote it.
        return text if restored == value else json.dumps(restored, ensure_ascii=False)

    def _restored(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.restore(value)
        if isinstance(value, list):
            return [self._restored(item) for item in value]
        if isinstance(value, dict):
            return {self.restore(key): self._restored(item) for key, item in value.items()}
        return value


class Restorer:
    """Restores literals in a text that comes in pieces."""

    done = False

    def __init__(self, neutraliser: Neutraliser) -> None:
        self._neutraliser = neutraliser
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what is certain so far."""
        text = self._held + piece
        cut = _open_literal(text)
        self._held = text[cut:]
        return self._neutraliser.restore(text[:cut])

    def flush(self) -> str:
        """Return the rest, at the end of the stream."""
        rest, self._held = self._held, ""
        return self._neutraliser.restore(rest)


def special_texts(family: Family) -> frozenset[str]:
    """Return every special token of the family as text that a tokenizer may read as the token."""
    found = {*family.ends, *family.other_specials, *(family.file_name or ())}
    if family.fim is not None:
        found.update(family.fim.specials, family.fim.ends)
    # SentencePiece spells a leading space as U+2581; a user types the rest.
    return frozenset(text.lstrip("▁") for text in found)


def _either(forms: Iterable[tuple[str, str]], between: str) -> re.Pattern[str]:
    return re.compile("|".join(first + between + rest for first, rest in forms))


def _open_literal(text: str) -> int:
    """Return where a hidden literal may have begun that the text does not finish."""
    joiner = text.rfind(JOINER)
    start = joiner
    while start > 0 and text[start] == JOINER:
        start -= 1
    if joiner >= 0 and text[start] in _CLOSING and len(text) - joiner <= _LONGEST:
        ends = (_CLOSING[text[start]], "\n")
        if not any(end in text[joiner:] for end in ends):
            return start
    return len(text) - (text[-1:] in _CLOSING)
