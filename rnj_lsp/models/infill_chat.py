"""Filling in the middle by chat, for endpoints that take no raw prompt."""

from __future__ import annotations

from rnj_lsp.models.cut import Cutter
from rnj_lsp.models.model import ChatRequest, CompletionRequest, Message

CURSOR = "<CURSOR>"

SYSTEM = (
    "You complete source code inside an editor. The user shows a file in which "
    f"{CURSOR} marks the cursor. Answer with exactly the text to insert there: no explanation, "
    "no code fence, nothing that stands before or after the cursor already. "
    "Keep to the file's indentation and stop where the statement or block is complete."
)


def infill_chat(request: CompletionRequest) -> ChatRequest:
    """Return the chat that asks for the middle; its answer goes through `Unwrapper`."""
    file = f"{request.prefix}{CURSOR}{request.suffix or ''}"
    return ChatRequest(
        messages=(Message("system", SYSTEM), Message("user", file)),
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        stop=request.stop,
    )


class Unwrapper:
    """Takes a code fence and a repeated line start off a chat's answer while it streams."""

    def __init__(self, prefix: str) -> None:
        line = prefix.rpartition("\n")[2].lstrip()
        self._line = line if len(line) >= _SHORTEST_ECHO else ""
        self._held: str | None = ""
        """The beginning of the answer, until it tells; None afterwards."""

        self._cutter = Cutter((CURSOR,))

    @property
    def done(self) -> bool:
        """The closing fence has come."""
        return self._cutter.done

    def feed(self, piece: str) -> str:
        """Return what certainly belongs to the middle."""
        if self._held is None:
            return self._cutter.feed(piece)
        self._held += piece
        if not self._tells(self._held):
            return ""
        beginning = self._opened()
        return self._cutter.feed(beginning)

    def flush(self) -> str:
        """Return the rest, at the end of the stream."""
        beginning = "" if self._held is None else self._opened()
        return self._cutter.feed(beginning) + self._cutter.flush()

    def _tells(self, text: str) -> bool:
        """Return whether the beginning shows if there is a fence and a repetition."""
        text = text.lstrip(" \n")
        if _FENCE.startswith(text) or text.startswith(_FENCE):
            _, newline, text = text.partition("\n")
            if not newline:
                return False
        text = text.lstrip(" \t")
        return not self._line or not self._line.startswith(text) or text == self._line

    def _opened(self) -> str:
        """Return the beginning without its opening fence and the repeated line start."""
        text, self._held = self._held or "", None
        if text.lstrip(" \n").startswith(_FENCE):
            text = text.partition(_FENCE)[2].partition("\n")[2]
            self._cutter = Cutter((CURSOR, "\n" + _FENCE))
        echoed = text.lstrip(" \t")
        if self._line and echoed.startswith(self._line):
            return echoed[len(self._line) :]
        return text


_FENCE = "```"

_SHORTEST_ECHO = 3
"""A line start of one or two characters may well begin the middle, too."""
