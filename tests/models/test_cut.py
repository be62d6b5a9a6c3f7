"""A stream ends where one of the given texts begins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rnj_lsp.models.cut import Cutter, Stages

words = st.text(alphabet="ab\n", max_size=4)


@given(st.lists(words, max_size=10), st.lists(words.filter(bool), max_size=3))
def test_the_stream_gives_what_the_whole_text_gives(pieces: list[str], ends: list[str]) -> None:
    text = "".join(pieces)
    cutter = Cutter(ends)
    out = "".join(cutter.feed(piece) for piece in pieces)
    done = cutter.done
    out += cutter.flush()
    found = [text.index(end) for end in ends if end in text]
    assert done == bool(found)
    if found:
        # An end that begins earlier may only be complete later, when the stream is already cut.
        assert not any(end in out for end in ends)
        assert text.startswith(out)
    else:
        assert out == text


def test_what_may_begin_an_end_is_held_back_and_comes_when_it_does_not() -> None:
    cutter = Cutter(["\n\n"])
    assert [cutter.feed(piece) for piece in ("a\n", "b", "\n")] == ["a", "\nb", ""]
    assert cutter.flush() == "\n"


def test_stages_pass_the_rest_of_one_through_the_next() -> None:
    stages = Stages(Cutter(["END"]), Cutter(["stop"]))
    assert stages.feed("aE") == "a"
    assert stages.feed("st") == "E"
    assert stages.feed("op and more") == ""
    assert stages.done
    assert stages.flush() == ""
