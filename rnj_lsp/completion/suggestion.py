"""The values of ghost text: what is asked for, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from rnj_lsp.models.model import Usage
from rnj_lsp.source.document import Document, Span


class Trigger(StrEnum):
    """Why a suggestion is asked for."""

    AUTOMATIC = "automatic"
    """The user typed."""

    INVOKED = "invoked"
    """The user pressed a key that asks for it."""


class Extent(StrEnum):
    """How much one suggestion may hold."""

    LINE = "line"
    """The rest of the line; more when that line opens a block."""

    ONE_LINE = "one line"
    """The rest of the line and never more."""

    BLOCK = "block"
    """Lines up to the end of the scope in which the cursor stands."""


class Reason(StrEnum):
    """Why there is no suggestion; the text is what the user reads."""

    SWITCHED_OFF = "completion is switched off (rnj.completion.enabled)"
    AUTOMATIC_OFF = "automatic completion is switched off (rnj.completion.automatic)"
    LANGUAGE_OFF = "completion is switched off for this language (rnj.completion.disabledLanguages)"
    EXCLUDED = "the file is excluded (rnj.completion.exclude)"
    INSIDE_WORD = "the cursor stands inside a word; ask by key to complete here"
    LONG_LINE = "the line is too long to complete"
    SUPERSEDED = "a newer request took its place"
    CANNOT_FILL = "the model cannot fill in the middle"
    MODEL_FAILED = "the model did not answer"
    TOO_SLOW = "the model took too long"
    NOTHING_FITS = "not even the lines around the cursor fit the model's window"
    EMPTY = "the model suggested nothing"
    REPEATS_BELOW = "the suggestion only repeated the lines below"
    REPEATS_SUFFIX = "the suggestion only repeated what follows the cursor"
    SENTINEL = "the suggestion was made of the model's control tokens"
    BREAKS_SYNTAX = "the suggestion would have broken the syntax"


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor in a document, and how the file is called in the prompt."""

    document: Document
    offset: int
    """Code points before the cursor."""

    name: str
    """The path relative to its workspace folder, with `/`; outside of any, folder and file."""

    @classmethod
    def of(cls, document: Document, offset: int, folder: Path | None) -> Place:
        """Return a cursor in a document of a workspace folder, or of none."""
        path = Path(document.path)
        if not document.path:
            name = ""
        elif folder is not None and path.is_relative_to(folder):
            name = path.relative_to(folder).as_posix()
        else:
            # The folder tells a key file from others, and more of the path is nobody's business.
            name = "/".join(path.parts[-2:])
        return cls(document, offset, name)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Text to insert at the cursor."""

    text: str
    span: Span
    """What it replaces, in code points; it always touches the cursor."""

    cached: bool
    """It came from the cache: no model was asked."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One suggestion, or none with a reason."""

    suggestion: Suggestion | None
    reason: Reason | None = None
    detail: str = ""
    """A sentence of the model's or the client's that makes the reason more exact."""

    usage: Usage = field(default_factory=Usage)
    total_ms: float = 0.0
    first_text_ms: float | None = None
    """From the request to the first text of the model; None when it was not asked."""

    @property
    def explanation(self) -> str:
        """Return one sentence that says what happened."""
        if self.suggestion is not None:
            return "from the cache" if self.suggestion.cached else "from the model"
        text = str(self.reason.value) if self.reason else ""
        return f"{text}: {self.detail}" if self.detail else text
