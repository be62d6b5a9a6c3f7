"""A document has its client's text after any edits, and every position leads where it should."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnj_lsp.source import (
    Document,
    Documents,
    Position,
    PositionEncoding,
    Span,
    TextChange,
    UnknownDocumentError,
    syntax,
)
from tests.source.cursor import document

ENCODINGS = st.sampled_from(list(PositionEncoding))
# Line breaks of the protocol, characters that look like line breaks to Python but are none, and
# characters of one to four bytes and one or two UTF-16 units.
CHARACTERS = "ab \n\r\x0b\x0c\x1c\x85\u2028\u2029é\u0301中🦀👩\u200d\0"
TEXTS = st.lists(
    st.sampled_from([*CHARACTERS, "\r\n", "\n\r", "🦀🦀", "\ud83d", "\udd80"]), max_size=30
).map("".join)


def units_of(character: str, encoding: PositionEncoding) -> int:
    if encoding is PositionEncoding.UTF32:
        return 1
    if encoding is PositionEncoding.UTF16:
        return 2 if ord(character) > 0xFFFF else 1
    return next(
        size
        for size, top in ((1, 0x80), (2, 0x800), (3, 0x10000), (4, 0x110000))
        if ord(character) < top
    )


def client_position(text: str, offset: int, encoding: PositionEncoding) -> Position:
    """Count, one character after the other, as the specification says and as a client does."""
    line = character = 0
    for place, letter in enumerate(text[:offset]):
        if letter == "\n" or (letter == "\r" and text[place + 1 : place + 2] != "\n"):
            line, character = line + 1, 0
        elif letter != "\r":
            character += units_of(letter, encoding)
    return Position(line, character)


def between_breaks(text: str, offset: int) -> bool:
    return text[offset - 1 : offset + 1] == "\r\n" if offset else False


class Client:
    """An editor: it changes its text by offsets, and tells of it by positions."""

    def __init__(self, text: str, encoding: PositionEncoding) -> None:
        self.text = text
        self.encoding = encoding

    def replace(self, start: float, end: float, text: str) -> TextChange:
        first, last = sorted(round(share * len(self.text)) for share in (start, end))
        first, last = (offset - between_breaks(self.text, offset) for offset in (first, last))
        positions = [client_position(self.text, offset, self.encoding) for offset in (first, last)]
        self.text = self.text[:first] + text + self.text[last:]
        return TextChange(text, *positions)


SHARES = st.floats(0, 1)
EDITS = st.tuples(SHARES, SHARES, TEXTS)


@given(TEXTS, st.lists(st.lists(EDITS, max_size=4), max_size=5), ENCODINGS)
def test_text_after_any_edits_is_the_clients(
    text: str, versions: list[list[tuple[float, float, str]]], encoding: PositionEncoding
) -> None:
    client = Client(text, encoding)
    documents = Documents()
    documents.open("file:///x", "/x", "python", 0, text)
    for version, edits in enumerate(versions, start=1):
        changes = [client.replace(*edit) for edit in edits]
        result = documents.change("file:///x", version, changes, encoding)
        assert result.text == client.text
        assert result.version == version


@given(TEXTS, TEXTS, TEXTS, st.booleans())
def test_a_change_without_a_range_replaces_everything(
    old: str, new: str, more: str, alone: bool
) -> None:
    changes = [TextChange(new)]
    if not alone:
        changes = [TextChange(more), *changes, TextChange(more, Position(0, 0), Position(0, 0))]
    result = document(old).changed(changes, 2, PositionEncoding.UTF16)
    assert result.text == (new if alone else more + new)


@given(TEXTS, ENCODINGS)
def test_every_offset_has_the_clients_position_and_comes_back(
    text: str, encoding: PositionEncoding
) -> None:
    it = document(text)
    for offset in range(len(text) + 1):
        position = it.position_at(offset, encoding)
        whole = offset - between_breaks(text, offset)
        assert position == client_position(text, whole, encoding)
        assert it.offset_at(position, encoding) == whole


@given(TEXTS)
def test_lines_and_breaks_together_are_the_text(text: str) -> None:
    it = document(text)
    spans = [it.line_span(line) for line in range(it.line_count)]
    breaks = [text[one.end : two.start] for one, two in pairwise(spans)]
    assert spans[0].start == 0
    assert spans[-1].end == len(text)
    assert set(breaks) <= {"\n", "\r\n", "\r"}
    assert all(not set(it.line_text(line)) & {"\n", "\r"} for line in range(it.line_count))
    for line, span in enumerate(spans):
        assert it.line_of(span.start) == it.line_of(span.end) == line


@given(TEXTS, st.integers(-3, 99), st.integers(-3, 99), ENCODINGS)
def test_positions_outside_are_clamped(
    text: str, line: int, character: int, encoding: PositionEncoding
) -> None:
    it = document(text)
    offset = it.offset_at(Position(line, character), encoding)
    if line < 0:
        assert offset == 0
    elif line >= it.line_count:
        assert offset == len(text)
    else:
        span = it.line_span(line)
        assert span.start <= offset <= span.end
        units = [units_of(letter, encoding) for letter in text[span.start : offset]]
        following = [units_of(letter, encoding) for letter in text[offset : span.end][:1]]
        assert sum(units) <= max(character, 0)
        assert not following or sum(units) + following[0] > max(character, 0)


@pytest.mark.parametrize(
    ("encoding", "character", "offset"),
    [
        (PositionEncoding.UTF16, 1, 0),
        (PositionEncoding.UTF16, 2, 1),
        (PositionEncoding.UTF8, 3, 0),
        (PositionEncoding.UTF8, 4, 1),
        (PositionEncoding.UTF8, 5, 1),
        (PositionEncoding.UTF8, 6, 2),
    ],
)
def test_a_position_inside_a_character_is_its_start(
    encoding: PositionEncoding, character: int, offset: int
) -> None:
    assert document("🦀é").offset_at(Position(0, character), encoding) == offset


def test_offsets_outside_are_clamped() -> None:
    it = document("ab\ncd")
    assert it.position_at(-5, PositionEncoding.UTF16) == Position(0, 0)
    assert it.position_at(99, PositionEncoding.UTF16) == Position(1, 2)
    assert (it.line_of(-5), it.line_of(99)) == (0, 1)
    assert it.line_span(-5) == Span(0, 2)
    assert it.line_text(99) == "cd"


def test_only_the_three_line_breaks_of_the_protocol_end_lines() -> None:
    it = document("a\x0bb\x0cc\x1cd\x85e\u2028f\ng\r\nh\ri")
    assert [it.line_text(line) for line in range(it.line_count)] == [
        "a\x0bb\x0cc\x1cd\x85e\u2028f",
        "g",
        "h",
        "i",
    ]


@pytest.mark.parametrize(
    ("text", "eol"),
    [("", "\n"), ("a", "\n"), ("a\nb\r\n", "\n"), ("a\r\nb\r\nc\n", "\r\n"), ("a\rb\r", "\r")],
)
def test_eol_is_the_line_break_of_most_lines(text: str, eol: str) -> None:
    assert document(text).eol == eol


def test_a_range_in_the_wrong_order_is_put_right() -> None:
    change = TextChange("X", Position(0, 3), Position(0, 1))
    assert document("abcd").changed([change], 2, PositionEncoding.UTF16).text == "aXd"


def test_a_change_that_makes_or_parts_a_line_break_is_indexed_anew() -> None:
    at = Position(1, 0)
    joined = document("a\rb").changed([TextChange("\n", at, at)] * 2, 2, PositionEncoding.UTF16)
    assert (joined.text, joined.line_count) == ("a\r\n\nb", 3)
    end = Position(0, 1)
    parted = document("a\r\nb").changed(
        [TextChange("\r", end, end), TextChange("x", at, at)], 2, PositionEncoding.UTF16
    )
    assert (parted.text, parted.line_count) == ("a\rx\r\nb", 3)


def test_a_change_to_a_document_that_is_not_open_is_an_error_that_says_so() -> None:
    documents = Documents()
    documents.open("file:///x", "/x", "python", 1, "")
    documents.close("file:///x")
    with pytest.raises(UnknownDocumentError, match="file:///x was changed but is not open"):
        documents.change("file:///x", 2, [TextChange("a")], PositionEncoding.UTF16)


def test_changes_of_an_older_version_are_made_too() -> None:
    documents = Documents()
    documents.open("file:///x", "/x", "python", 5, "a")
    at = Position(0, 0)
    changed = documents.change("file:///x", 3, [TextChange("b", at)], PositionEncoding.UTF16)
    assert (changed.text, changed.version) == ("ba", 3)


def test_open_documents_are_found_counted_and_iterated() -> None:
    documents = Documents()
    one = documents.open("file:///1", "/1", "python", 1, "")
    two = documents.open("file:///2", "", "rust", 1, "")
    assert list(documents) == [one, two]
    assert (len(documents), "file:///1" in documents, "file:///3" in documents) == (2, True, False)
    assert documents.get("file:///2") is two
    documents.close("file:///1")
    documents.close("file:///1")
    assert list(documents) == [two]
    assert documents.get("file:///1") is None


def test_closed_documents_and_old_versions_are_dropped() -> None:
    documents = Documents()
    versions: list[weakref.ref[Document]] = []
    versions.append(weakref.ref(documents.open("file:///x", "/x", "python", 0, "a = 1\n")))
    for number in range(1, 6):
        latest = documents.get("file:///x")
        assert latest is not None
        if number % 2:
            syntax(latest)
        change = TextChange("b", Position(0, 0))
        latest = documents.change("file:///x", number, [change], PositionEncoding.UTF8)
        versions.append(weakref.ref(latest))
    del latest
    gc.collect()
    assert [version() is None for version in versions] == [True] * 5 + [False]
    documents.close("file:///x")
    gc.collect()
    assert versions[-1]() is None


def test_a_very_long_line_and_a_very_large_text_are_indexed() -> None:
    line = "🦀a" * 250_000
    it = document(line + "\n" * 250_000)
    assert it.line_count == 250_001
    for encoding in PositionEncoding:
        position = it.position_at(499_999, encoding)
        assert it.offset_at(position, encoding) == 499_999
    change = TextChange("é", position, position)
    assert len(it.changed([change] * 3, 2, PositionEncoding.UTF32).text) == len(it.text) + 3
