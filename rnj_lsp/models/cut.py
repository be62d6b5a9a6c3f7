"""The end of a streamed text, where one of several texts begins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Stage(Protocol):
    """Something that changes a text while it streams through."""

    @property
    def done(self) -> bool:
        """Nothing more comes out: the answer is complete."""
        ...

    def feed(self, piece: str) -> str:
        """Return what is certain so far."""
        ...

    def flush(self) -> str:
        """Return the rest, at the end of the stream."""
        ...


class Stages:
    """Several stages, one behind the other."""

    def __init__(self, *stages: Stage) -> None:
        self._stages = stages

    @property
    def done(self) -> bool:
        """One of the stages is done."""
        return any(stage.done for stage in self._stages)

    def feed(self, piece: str) -> str:
        """Return what is certain after the last stage."""
        for stage in self._stages:
            piece = stage.feed(piece)
        return piece

    def flush(self) -> str:
        """Return the rest of every stage, each passed through those behind it."""
        rest = ""
        for stage in self._stages:
            rest = stage.feed(rest) + stage.flush()
        return rest


class Cutter:
    """Lets a text through up to the first of the given ends, however the pieces fall.

    A tail that could be the beginning of an end is held back until the next piece.
    """

    def __init__(self, ends: Iterable[str]) -> None:
        self._ends = tuple(end for end in ends if end)
        self._held = ""
        self.done = False
        """An end was met; nothing more comes out."""

    def feed(self, piece: str) -> str:
        """Return what is certainly before any end."""
        if self.done:
            return ""
        text = self._held + piece
        found = [at for at in (text.find(end) for end in self._ends) if at >= 0]
        if found:
            self.done, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, end) for end in self._ends), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return what was held back, at the end of the stream."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, end: str) -> int:
    """Return the length of the longest tail of `text` with which `end` begins."""
    for length in range(min(len(text), len(end) - 1), 0, -1):
        if text.endswith(end[:length]):
            return length
    return 0
