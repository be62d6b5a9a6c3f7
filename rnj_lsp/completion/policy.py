"""Reasons to refuse a completion before anything is asked."""

from __future__ import annotations

from functools import lru_cache

from pathspec import GitIgnoreSpec

from rnj_lsp.completion.suggestion import Place, Reason, Trigger
from rnj_lsp.settings import CompletionSettings

_LONGEST_LINE = 2_000
"""Characters; a longer line is data or minified code, and alone would fill the prompt."""


def refusal(place: Place, trigger: Trigger, settings: CompletionSettings) -> Reason | None:
    """Return why nothing is to be asked at this place, or None."""
    document, offset = place.document, place.offset
    if not settings.enabled:
        return Reason.SWITCHED_OFF
    if document.language in settings.disabled_languages:
        return Reason.LANGUAGE_OFF
    if _excluded(settings.exclude).match_file(place.name):
        return Reason.EXCLUDED
    line = document.line_span(document.line_of(offset))
    if line.end - line.start > _LONGEST_LINE:
        return Reason.LONG_LINE
    if trigger is Trigger.AUTOMATIC:
        if not settings.automatic:
            return Reason.AUTOMATIC_OFF
        if offset < line.end and _is_word(document.text[offset]):
            return Reason.INSIDE_WORD
    return None


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


@lru_cache(maxsize=16)
def _excluded(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(patterns)
