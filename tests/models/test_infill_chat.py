"""A chat's answer becomes the text to insert."""

from __future__ import annotations

import pytest

from rnj_lsp.models.infill_chat import CURSOR, Unwrapper


@pytest.mark.parametrize(
    ("prefix", "answer", "expected"),
    [
        ("x = ", "1 + 2", "1 + 2"),
        ("x = ", "```\n1 + 2\n```", "1 + 2"),
        ("x = ", "```python\n1 + 2\n```\n", "1 + 2"),
        ("x = ", "\n```python\n1 + 2\n```\nThis adds.", "1 + 2"),
        (
            "def f():\n    ",
            "```python\n    return 1\n\n    # end\n```",
            "    return 1\n\n    # end",
        ),
        ("def f():\n    return ", "return a + b", "a + b"),
        ("def f():\n    return ", "    return a + b", "a + b"),
        ("def f():\n    return ", "```python\n    return a + b\n```", "a + b"),
        ("a", "and", "and"),
        ("x = ", f"1{CURSOR}", "1"),
        ("x = ", "", ""),
        ("x = ", "```", ""),
        ("x = ", "`", "`"),
        ("x = ", "x", "x"),
        ("s = ", "f'``` {x}'", "f'``` {x}'"),
        ("x = ", "1\n", "1\n"),
    ],
)
def test_fences_and_repeated_beginnings_come_off_however_the_pieces_fall(
    prefix: str, answer: str, expected: str
) -> None:
    for size in (1, 2, 3, 5, 100):
        unwrapper, out = Unwrapper(prefix), ""
        for at in range(0, len(answer), size):
            out += unwrapper.feed(answer[at : at + size])
        assert out + unwrapper.flush() == expected, size


def test_an_answer_without_a_fence_streams_at_once() -> None:
    unwrapper = Unwrapper("x = ")
    assert [unwrapper.feed(piece) for piece in ("1", " + ", "2")] == ["1", " + ", "2"]
