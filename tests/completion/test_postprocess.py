"""The filters, each by text in and text out."""

from __future__ import annotations

import pytest

from rnj_lsp.completion.postprocess import Draft, postprocess, repeat
from rnj_lsp.completion.suggestion import Reason
from tests.support.notation import document, inserted


def shown(marked: str, answer: str, language: str = "python") -> str:
    """Return the document with what is left of an answer, or the reason why nothing is."""
    made, offset = document(marked, language)
    draft = postprocess(Draft(made, offset, answer))
    return draft.name if isinstance(draft, Reason) else inserted(made.text, offset, draft.text)


@pytest.mark.parametrize(
    ("marked", "answer", "expected"),
    [
        # Nothing is a reason.
        ("x = ‸\n", "", "EMPTY"),
        ("x = ‸\n", " \n\n", "EMPTY"),
        # Control tokens.
        ("x = ‸\n", "1<|mid_fim|>2", "x = ├1┤\n"),
        ("x = ‸\n", "<|eoc_fim|>", "SENTINEL"),
        ("x = ‸\n", "<fim_suffix>", "SENTINEL"),
        ("T = '<|mid_fim|>'\nx = ‸\n", "'<|mid_fim|>'", "T = '<|mid_fim|>'\nx = ├'<|mid_fim|>'┤\n"),
        # The indentation that is there is not written again.
        ("def f():\n    ‸\n", "    return 1", "def f():\n    ├return 1┤\n"),
        ("def f():\n    ‸\n", "return 1", "def f():\n    ├return 1┤\n"),
        ("def f():\n    ‸\n", "  return 1", "def f():\n    ├return 1┤\n"),
        ("def f():\n‸\n", "    return 1", "def f():\n├    return 1┤\n"),
        (
            "def f():\n    ‸\n",
            "    a = 1\n    return a",
            "def f():\n    ├a = 1\n    return a┤\n",
        ),
        ("if x:\n\t‸\n", "\ta = 1\n    b = 2", "if x:\n\t├a = 1\n\tb = 2┤\n"),
        # A blank that is there is not written again, but for a comment's second one.
        ("def f():\n    return ‸\n", " x", "def f():\n    return ├x┤\n"),
        ("x = 1 ‸\n", " # one", "x = 1 ├ # one┤\n"),
        ("x =‸\n", " 1", "x =├ 1┤\n"),
        # The lines below are not written again.
        ("a = 1\n‸\nreturn_value(a)\n", "return_value(a)", "REPEATS_BELOW"),
        ("a = 1\n‸\nprint(a)\n", "a = 2\nprint(a)", "a = 1\n├a = 2┤\nprint(a)\n"),
        ("x = ‸\nprint(x)\n", "1\nprint(x)\n", "x = ├1┤\nprint(x)\n"),
        # What stands right of the cursor is not written again.
        ("print(‸)\n", "x)", "print(├x┤)\n"),
        ("print(f(‸))\n", "x))", "print(f(├x┤))\n"),
        ("print(‸)\n", "f(x)", "print(├f(x)┤)\n"),
        ('print("‸")\n', 'hello"', 'print("├hello┤")\n'),
        ("print(‸)\n", ")", "REPEATS_SUFFIX"),
        ("d = {‸}\n", '"a": [1]}', 'd = {├"a": [1]┤}\n'),
        ("f(‸, b)\n", "a, b)", "f(├a┤, b)\n"),
        # White space at ends is not written.
        ("x = ‸\n", "1   \n\n", "x = ├1┤\n"),
        # What breaks the syntax is refused, and of several lines the good ones stay.
        ("x = ‸\n", ")(", "BREAKS_SYNTAX"),
        ("x = ‸\n", "1\ny = = 2", "x = ├1┤\n"),
    ],
)
def test_an_answer_becomes_a_suggestion_or_a_reason(
    marked: str, answer: str, expected: str
) -> None:
    assert shown(marked, answer) == expected


def test_line_endings_become_those_of_the_file() -> None:
    assert shown("a\r\nx = ‸\r\n", "[\n1,\n]") == "a\r\nx = ├[\r\n1,\r\n]┤\r\n"


def test_a_language_without_a_grammar_is_filtered_too() -> None:
    assert shown("foo(‸)\n", "x)", language="plaintext") == "foo(├x┤)\n"


def test_an_answer_from_the_cache_does_not_close_a_bracket_twice() -> None:
    made, offset = document("foo(‸)\n")
    draft = repeat(Draft(made, offset, "a, b)"))
    assert not isinstance(draft, Reason)
    assert draft.text == "a, b"


def test_a_header_alone_is_no_broken_syntax() -> None:
    assert shown("def f(x):\n    ‸\n", "if x:") == "def f(x):\n    ├if x:┤\n"
