"""Answers already given: for the same state, and for a user who types along one of them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from rnj_lsp.completion.suggestion import Place, Reason

_ENTRIES = 64
"""Per document; the oldest goes first."""

_BEFORE = 2_048
_AFTER = 512
"""Characters around the cursor that must be the same for an answer to hold."""

_CLOSERS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "`": "`"}


@dataclass(frozen=True, slots=True)
class Hit:
    """What the cache knows about a place: a text, or that there was none."""

    text: str
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int
    before: str
    after: str
    text: str
    reason: Reason | None


class Cache:
    """The answers of one model; in memory only, closed documents are forgotten."""

    def __init__(self) -> None:
        self._entries: dict[str, OrderedDict[tuple[int, str, str], _Entry]] = {}

    def find(self, place: Place) -> Hit | None:
        """Return the answer for this state, newest first, or None.

        An answer holds where the user has typed the beginning of it, also when the editor has
        closed a bracket or quote that was typed; the caller then takes care that the rest of
        the answer does not close it once more.
        """
        entries = self._entries.get(place.document.uri)
        if not entries:
            return None
        exact = entries.get(_key(place))
        if exact is not None:
            entries.move_to_end(_key(place))
            return Hit(exact.text, exact.reason)
        for entry in reversed(entries.values()):
            typed = _typed_along(entry, place)
            if typed is not None:
                return Hit(entry.text[len(typed) :], None)
        return None

    def put(self, place: Place, text: str, reason: Reason | None) -> None:
        """Remember the answer given at a place, also that there was none and why."""
        entries = self._entries.setdefault(place.document.uri, OrderedDict())
        key = _key(place)
        entries[key] = _Entry(*key, text, reason)
        entries.move_to_end(key)
        while len(entries) > _ENTRIES:
            entries.popitem(last=False)

    def forget(self, uri: str) -> None:
        """Drop everything about one document."""
        self._entries.pop(uri, None)

    def clear(self) -> None:
        """Drop everything, for other settings give other answers."""
        self._entries.clear()


def _key(place: Place) -> tuple[int, str, str]:
    text, offset = place.document.text, place.offset
    return offset, text[max(0, offset - _BEFORE) : offset], text[offset : offset + _AFTER]


def _typed_along(entry: _Entry, place: Place) -> str | None:
    """Return what was typed since the entry when it is the beginning of its text, else None."""
    text, offset = place.document.text, place.offset
    length = offset - entry.offset
    if entry.reason is not None or not 0 < length < len(entry.text):
        return None
    typed = text[entry.offset : offset]
    if not entry.text.startswith(typed) or not entry.text[length:].strip():
        return None
    if text[max(0, entry.offset - _BEFORE) : entry.offset] != entry.before:
        return None
    after = text[offset : offset + _AFTER + len(typed)]
    for closers in ("", *_auto_closed(typed)):
        rest = after.removeprefix(closers)
        if after.startswith(closers) and rest[: len(entry.after)] == entry.after:
            return typed
    return None


def _auto_closed(typed: str) -> tuple[str, ...]:
    """Return what an editor may have added behind the cursor while this was typed."""
    closers = "".join(_CLOSERS[character] for character in reversed(typed) if character in _CLOSERS)
    return (closers,) if closers else ()
