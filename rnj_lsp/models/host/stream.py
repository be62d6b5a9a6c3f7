"""The text of an answer while it is generated: always valid, cut at the stop strings."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """Turns the bytes of tokens into text that may be shown at once.

    A character whose bytes are spread over several tokens is held back until it is whole;
    bytes that can never become a character are replaced. Text that may be the beginning of a
    stop string is held back until it is or is not one.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self.stopped = False
        """A stop string was met; it and what follows are not part of the text."""

        self._stop = tuple(text for text in stop if text)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, data: bytes) -> str:
        """Return what can be shown now that these bytes have come."""
        return self._release(self._decoder.decode(data))

    def finish(self) -> str:
        """Return the text still held back; the answer is over."""
        text = self._release(self._decoder.decode(b"", final=True)) + self._held
        self._held = ""
        return text

    def _release(self, text: str) -> str:
        if self.stopped:
            return ""
        if not self._stop:
            return text
        text = self._held + text
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = min((_beginning(text, stop) for stop in self._stop), default=len(text))
        self._held = text[keep:]
        return text[:keep]


def _beginning(text: str, stop: str) -> int:
    """Return where the text's longest ending that could begin the stop string starts."""
    at = text.find(stop[0], max(0, len(text) - len(stop) + 1))
    while at >= 0 and not stop.startswith(text[at:]):
        at = text.find(stop[0], at + 1)
    return at if at >= 0 else len(text)
