"""Edits as values: the one edit between two texts, and edits applied to a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rnj_lsp.source.document import Span

__all__ = ["Edit", "apply", "difference"]


@dataclass(frozen=True, slots=True)
class Edit:
    """A span of the old text and the text that takes its place."""

    span: Span
    text: str


def difference(old: str, new: str) -> Edit | None:
    r"""Return the one edit that turns `old` into `new`, or None when they are equal.

    It covers what lies between the longest common prefix and suffix; neither of its ends
    divides a `\r\n` of the old or of the new text. Linear in time, by comparing slices.
    """
    if old == new:
        return None
    prefix = _common_prefix(old, new)
    if (
        prefix
        and old[prefix - 1] == "\r"
        and "\n" in (old[prefix : prefix + 1], new[prefix : prefix + 1])
    ):
        prefix -= 1
    suffix = _common_suffix(old, new, min(len(old), len(new)) - prefix)
    old_end, new_end = len(old) - suffix, len(new) - suffix
    if (
        suffix
        and old[old_end] == "\n"
        and "\r" in (old[old_end - 1 : old_end], new[new_end - 1 : new_end])
    ):
        old_end, new_end = old_end + 1, new_end + 1
    return Edit(Span(prefix, old_end), new[prefix:new_end])


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return `text` with all `edits` made; their spans count in the text before any of them.

    Insertions at one offset keep their order. Raises ValueError when two spans overlap, or when
    one lies outside the text or ends before it starts.
    """
    parts: list[str] = []
    done = 0
    for edit in sorted(edits, key=lambda edit: (edit.span.start, edit.span.end)):
        start, end = edit.span.start, edit.span.end
        if not 0 <= start <= end <= len(text):
            raise ValueError(
                f"The edit of {start}..{end} does not fit into a text of {len(text)} characters."
            )
        if start < done:
            raise ValueError(f"The edit of {start}..{end} overlaps one that ends at {done}.")
        parts += (text[done:start], edit.text)
        done = end
    parts.append(text[done:])
    return "".join(parts)


def _common_prefix(one: str, two: str) -> int:
    # Every round halves the part that is still unknown, so all slices together are about as
    # long as the texts, and the comparing is done in C.
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_suffix(one: str, two: str, limit: int) -> int:
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle : len(one) - low] == two[len(two) - middle : len(two) - low]:
            low = middle
        else:
            high = middle - 1
    return low
