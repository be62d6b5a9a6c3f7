"""The text of an answer: whole characters only, cut at stop strings."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rnj_lsp.models.host.stream import TextStream


def streamed(parts: list[bytes], stop: tuple[str, ...] = ()) -> list[str]:
    stream = TextStream(stop)
    return [*(stream.feed(part) for part in parts), stream.finish()]


def test_a_character_appears_when_its_last_byte_has_come() -> None:
    assert streamed([b"\xf0\x9f", b"\xa6", b"\x80!"]) == ["", "", "🦀!", ""]


def test_bytes_that_are_no_character_are_replaced() -> None:
    assert streamed([b"a\xff", b"b"]) == ["a\ufffd", "b", ""]
    assert streamed([b"a\xf0\x9f"]) == ["a", "\ufffd"]


def test_a_stop_string_is_found_across_pieces_and_is_not_part_of_the_text() -> None:
    assert streamed([b"one\n", b"\nde", b"f two", b"more"], ("\n\ndef",)) == [
        "one",
        "",
        "",
        "",
        "",
    ]


def test_text_that_only_began_like_a_stop_string_is_given_later() -> None:
    assert streamed([b"a\n", b"\nx"], ("\n\ndef",)) == ["a", "\n\nx", ""]
    assert streamed([b"a\n\nde"], ("\n\ndef",)) == ["a", "\n\nde"]


def test_the_earliest_of_several_stop_strings_counts() -> None:
    assert streamed([b"abcdef"], ("ef", "cd")) == ["ab", ""]


def test_an_empty_stop_string_stops_nothing() -> None:
    assert streamed([b"abc"], ("",)) == ["abc", ""]


@given(
    st.text(alphabet="ab\né🦀"),
    st.lists(st.integers(0, 40)),
    st.lists(st.text(alphabet="ab\né", min_size=1, max_size=4), max_size=3),
)
def test_however_the_bytes_are_split_the_text_is_cut_at_the_first_stop(
    text: str, cuts: list[int], stop: list[str]
) -> None:
    data = text.encode()
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[low:high] for low, high in itertools.pairwise(bounds)]
    found = [at for at in (text.find(item) for item in stop) if at >= 0]
    # A stop that begins later may be complete earlier, and the answer ends with the first.
    whole = "".join(streamed(parts, tuple(stop)))
    assert text.startswith(whole)
    assert not any(item in whole for item in stop)
    assert (len(whole) < len(text)) == bool(found)
