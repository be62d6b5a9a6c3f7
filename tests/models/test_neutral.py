"""Special-token literals in user text: hidden in the prompt, whole in the answer."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnj_lsp.models.catalog import Family, families, family
from rnj_lsp.models.neutral import JOINER, Neutraliser, Restorer, special_texts

ALL = [item for item in families() if item.fim is not None]


def texts_of(item: Family) -> st.SearchStrategy[str]:
    """Return texts full of the family's literals, parts of them, and the joiner itself."""
    literals = sorted(special_texts(item))
    pieces = [*literals, *(text[:-1] for text in literals), *(text[1:] for text in literals)]
    pieces += ["<|unknown|>", "<｜x｜>", "<", "|", ">", "[", "]", JOINER, "a", "\n", "é", "\\u2060"]
    loose = st.sampled_from(pieces)
    marked = st.builds(
        lambda text, count: text[0] + JOINER * count + text[1:],
        st.sampled_from(literals),
        st.integers(0, 3),
    )
    return st.lists(loose | marked | st.text(max_size=3), max_size=12).map("".join)


families_and_texts = st.sampled_from(ALL).flatmap(
    lambda item: st.tuples(st.just(item), texts_of(item))
)


@given(families_and_texts)
def test_hidden_text_holds_no_literal_and_comes_back_whole(case: tuple[Family, str]) -> None:
    item, text = case
    neutral = Neutraliser(item)
    hidden = neutral.hide(text)
    assert not [literal for literal in special_texts(item) if literal in hidden]
    assert not re.search(r"<\|[a-z_]+\|>", hidden)
    assert neutral.restore(hidden) == text


@given(families_and_texts, st.data())
def test_a_stream_is_restored_however_its_pieces_fall(
    case: tuple[Family, str], data: st.DataObject
) -> None:
    item, text = case
    neutral = Neutraliser(item)
    hidden = neutral.hide(text)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(hidden)), max_size=8)))
    restorer = Restorer(neutral)
    pieces = [hidden[a:b] for a, b in zip([0, *cuts], [*cuts, len(hidden)], strict=True)]
    assert "".join(map(restorer.feed, pieces)) + restorer.flush() == text


@given(families_and_texts, st.booleans())
def test_arguments_of_a_tool_call_are_restored_in_either_spelling(
    case: tuple[Family, str], ascii_only: bool
) -> None:
    item, text = case
    neutral = Neutraliser(item)
    arguments = json.dumps({"text": neutral.hide(text)}, ensure_ascii=ascii_only)
    assert json.loads(neutral.restore_json(arguments)) == {"text": text}


@pytest.mark.parametrize(
    "text", ["", "x < y | z > w", "a[i] = b", "<div>", "List<T>", "x <| f |> g"]
)
def test_ordinary_code_is_left_as_it_is(text: str) -> None:
    assert Neutraliser(family("rnj-1")).hide(text) == text
    assert Neutraliser(None).hide(text) == text


def test_ordinary_text_streams_without_delay() -> None:
    restorer = Restorer(Neutraliser(family("rnj-1")))
    assert [restorer.feed(piece) for piece in ("if a ", "< b", ": ", f"{JOINER}x")] == [
        "if a ",
        "< b",
        ": ",
        f"{JOINER}x",
    ]


def test_a_literal_that_never_ends_is_not_held_for_ever() -> None:
    restorer = Restorer(Neutraliser(family("rnj-1")))
    out = [restorer.feed(piece) for piece in (f"<{JOINER}|a", "b" * 60, "c" * 60)]
    assert "".join(out) == f"<{JOINER}|a" + "b" * 60 + "c" * 60


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_no_literal_begins_inside_another(item: Family) -> None:
    # What `hide` promises rests on this: literals are found one after the other.
    literals = special_texts(item)
    for one in literals:
        assert one[0] in "<["
        for other in literals:
            for length in range(1, min(len(one), len(other))):
                assert not one.endswith(other[:length]), (one, other)
