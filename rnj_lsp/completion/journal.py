"""What became of the latest requests, so that silence can be explained.

An entry holds places, reasons and times, and never a character of the user's code.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rnj_lsp.completion.suggestion import Outcome, Place, Trigger

JOURNAL = "journal.jsonl"
"""The name of the file in the cache folder."""

_KEPT = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and its end."""

    time: float
    """Seconds since the epoch."""

    file: str
    line: int
    """From 1, as people count."""

    column: int
    """From 1, in code points."""

    trigger: str
    model: str
    shown: bool
    explanation: str
    total_ms: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


class Journal:
    """The latest requests, newest last, kept in a file so that the terminal can show them."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._entries: deque[Entry] = deque(maxlen=_KEPT)

    def add(self, now: float, place: Place, trigger: Trigger, model: str, outcome: Outcome) -> None:
        """Remember how a request ended."""
        line = place.document.line_of(place.offset)
        column = place.offset - place.document.line_span(line).start
        self._entries.append(
            Entry(
                time=now,
                file=place.name,
                line=line + 1,
                column=column + 1,
                trigger=trigger.value,
                model=model,
                shown=outcome.suggestion is not None,
                explanation=outcome.explanation,
                total_ms=round(outcome.total_ms, 1),
                prompt_tokens=outcome.usage.prompt_tokens,
                cached_tokens=outcome.usage.cached_tokens,
                completion_tokens=outcome.usage.completion_tokens,
            )
        )

    def latest(self, file: str | None = None) -> list[Entry]:
        """Return the entries of one file, or of all, newest first."""
        return [entry for entry in reversed(self._entries) if file in (None, entry.file)]

    def save(self) -> None:
        """Write the entries to the file, whole or not at all."""
        if self._file is None:
            return
        text = "".join(json.dumps(asdict(entry)) + "\n" for entry in self._entries)
        partial = self._file.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self._file)


def saved_entries(file: Path) -> Iterator[Entry]:
    """Return the entries that a server has written, newest first; none when there is no file."""
    if not file.is_file():
        return
    for line in reversed(file.read_text(encoding="utf-8").splitlines()):
        yield Entry(**json.loads(line))
