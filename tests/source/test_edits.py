"""Edits: the difference of two texts makes the one the other, and overlaps are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnj_lsp.source import Edit, Span, apply, difference

TEXTS = st.text(st.sampled_from("ab\r\n🦀é\0\ud83d"), max_size=25)


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_applying_the_difference_gives_the_other_text(
    before: str, old: str, new: str, after: str
) -> None:
    old, new = before + old + after, before + new + after
    edit = difference(old, new)
    assert (edit is None) == (old == new)
    assert apply(old, [edit] if edit else []) == new


@given(TEXTS, TEXTS)
def test_the_difference_is_as_short_as_whole_line_breaks_allow(old: str, new: str) -> None:
    edit = difference(old, new)
    if edit is None:
        return
    start, end = edit.span.start, edit.span.end
    for text, places in ((old, (start, end)), (new, (start, start + len(edit.text)))):
        assert all(text[max(place - 1, 0) : place + 1] != "\r\n" for place in places if place)
    replaced = old[start:end]
    if not {"\r", "\n"} & set(old + new):
        assert not (replaced and edit.text) or replaced[0] != edit.text[0]
        assert not (replaced and edit.text) or replaced[-1] != edit.text[-1]


@pytest.mark.parametrize(
    ("old", "new", "edit"),
    [
        ("abc", "abc", None),
        ("abc", "abxc", Edit(Span(2, 2), "x")),
        ("aaa", "aa", Edit(Span(2, 3), "")),
        ("", "a", Edit(Span(0, 0), "a")),
        ("a\r\nb", "a\nb", Edit(Span(1, 3), "\n")),
        ("a\rb", "a\r\nb", Edit(Span(1, 2), "\r\n")),
        ("a\r\r\nb", "a\r\nb", Edit(Span(1, 2), "")),
    ],
)
def test_differences(old: str, new: str, edit: Edit | None) -> None:
    assert difference(old, new) == edit


def test_a_difference_in_a_large_text_is_found() -> None:
    old = "x = 1\n" * 200_000
    new = old[:700_000] + "🦀" + old[700_001:]
    assert difference(old, new) == Edit(Span(700_000, 700_001), "🦀")


def test_edits_are_applied_by_their_place_in_the_old_text() -> None:
    edits = [
        Edit(Span(3, 4), "D"),
        Edit(Span(0, 1), ""),
        Edit(Span(2, 2), "1"),
        Edit(Span(2, 2), "2"),
    ]
    assert apply("abcd", edits) == "b12cD"
    assert apply("abcd", [Edit(Span(2, 3), "X"), Edit(Span(2, 2), "1")]) == "ab1Xd"


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ([Edit(Span(0, 2), ""), Edit(Span(1, 3), "")], "overlaps"),
        ([Edit(Span(0, 3), ""), Edit(Span(1, 1), "x")], "overlaps"),
        ([Edit(Span(2, 9), "")], "does not fit"),
        ([Edit(Span(2, 1), "")], "does not fit"),
        ([Edit(Span(-1, 1), "")], "does not fit"),
    ],
)
def test_edits_that_overlap_or_lie_outside_are_refused(edits: list[Edit], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        apply("abcd", edits)
