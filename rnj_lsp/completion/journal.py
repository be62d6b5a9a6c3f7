"""What became of the latest requests, so that silence can be explained.

An entry holds places, reasons and times, and never a character of the user's code.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

from rnj_lsp.completion.suggestion import Outcome, Place, Trigger

log = logging.getLogger(__name__)

_KEPT = 200
"""Entries of one server."""

_FILES = 20
"""Journals that are kept in the folder; the oldest go first."""


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
    """The latest requests of one server, kept in a file of its own for the terminal to show.

    Each server writes its own file, so that two editors do not overwrite each other's.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / f"journal-{os.getpid()}.jsonl" if folder else None
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._saved = True

    def add(self, now: float, place: Place, trigger: Trigger, model: str, outcome: Outcome) -> None:
        """Remember how a request ended."""
        line = place.document.line_of(place.offset)
        column = place.offset - place.document.line_span(line).start
        self._saved = False
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
        """Write the entries to the file, whole or not at all, when there are new ones."""
        if self._file is None or self._saved:
            return
        self._saved = True
        text = "".join(json.dumps(asdict(entry)) + "\n" for entry in self._entries)
        partial = self._file.with_suffix(".partial")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(self._file)
            for old in _files(self._file.parent)[_FILES:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the journal cannot be written: %s", error.strerror)


def saved_entries(folder: Path) -> list[Entry]:
    """Return the entries that servers have written, newest first; what is damaged is left out."""
    entries = list[Entry]()
    for file in _files(folder):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entries.append(Entry(**json.loads(line)))
            except (ValueError, TypeError):
                # Another version of rnj-lsp may have written other fields.
                continue
    return sorted(entries, key=lambda entry: entry.time, reverse=True)


def _files(folder: Path) -> list[Path]:
    """Return the journals in a folder, the latest first."""
    return sorted(
        folder.glob("journal-*.jsonl"), key=lambda file: file.stat().st_mtime, reverse=True
    )
