"""Questions about a cursor have an answer with and without a grammar."""

from __future__ import annotations

import pytest

from rnj_lsp.source import in_comment, opens_block, scope_end
from tests.source.cursor import at_cursor, document


@pytest.mark.parametrize(
    ("id", "marked", "expected"),
    [
        ("python", "x = 1  # a‸", True),
        ("python", "x = '# a‸'", False),
        ("perl", "x = 1  # a ‸", True),
        ("perl", "# a\n‸", False),
        ("perl", "x = '# a‸'", False),
        ("perl", "x = 1‸", False),
        ("plaintext", "# a‸", False),
    ],
)
def test_in_comment(id: str, marked: str, expected: bool) -> None:
    text, offset = at_cursor(marked)
    assert in_comment(document(text, id), offset) is expected


@pytest.mark.parametrize(
    ("id", "marked", "expected"),
    [("python", "def f():‸", True), ("python", "x‸", False), ("dart", "class A {‸}", True)],
)
def test_opens_block(id: str, marked: str, expected: bool) -> None:
    text, offset = at_cursor(marked)
    assert opens_block(document(text, id), offset) is expected


@pytest.mark.parametrize(
    ("id", "marked", "streamed"),
    [
        ("python", "def f():‸\n", "\n    a()┤\n\nb()\n"),
        ("perl", "sub f {‸\n", "\n    a();\n}┤\n\nb();\n"),
        ("perl", "sub f {\n    ‸\n", "a();\n    b();\n}┤\n\nc();\n"),
        ("perl", "sub f {\n    a();\n    ‸\n}\n", "b(\n        c);┤\n    d();\n"),
        ("perl", "‸\n", "# About f.\nsub f {\n    a();\n}┤\n\nb();\n"),
        ("plaintext", "One ‸\n", "two.┤\nThree.\n"),
    ],
)
def test_scope_end(id: str, marked: str, streamed: str) -> None:
    text, offset = at_cursor(marked)
    inside, _, after = streamed.partition("┤")
    assert scope_end(document(text, id), offset, inside + after) == len(inside)
