"""What the cache knows, and for which states."""

from __future__ import annotations

import pytest

from rnj_lsp.completion.cache import Cache
from rnj_lsp.completion.suggestion import Reason
from tests.support.notation import place


def found(put: str, text: str, asked: str) -> str | None:
    cache = Cache()
    cache.put(place(put), text, None)
    hit = cache.find(place(asked))
    return hit.text if hit else None


@pytest.mark.parametrize(
    ("put", "text", "asked", "expected"),
    [
        ("x = ‸\n", "foo(1)", "x = ‸\n", "foo(1)"),
        ("x = ‸\n", "foo(1)", "x = fo‸\n", "o(1)"),
        ("x = ‸\n", "foo(1)", "x = foo(‸)\n", "1)"),
        ("x = ‸\n", "foo(1)", "x = foo(1)‸\n", None),
        ("x = ‸\n", "foo(1)", "x = fa‸\n", None),
        ("x = ‸\n", "foo(1)", "y = ‸\n", None),
        ("x = ‸\n", "foo(1)", "x = ‸ + 1\n", None),
        ("x = ‸\n", "foo(1)", "y = 2\nx = ‸\n", None),
        ("x = ‸\n", "foo(1)", "x =‸\n", None),
        ("if x:‸\n", "\n    y = 1", "if x:\n    ‸\n", "y = 1"),
        ("x = ‸\n", 'f("a")', 'x = f("‸")\n', 'a")'),
    ],
)
def test_an_answer_holds_for_its_state_and_for_typing_along(
    put: str, text: str, asked: str, expected: str | None
) -> None:
    assert found(put, text, asked) == expected


def test_that_there_was_nothing_holds_for_the_exact_state_only() -> None:
    cache = Cache()
    cache.put(place("x = ‸\n"), "", Reason.EMPTY)
    hit = cache.find(place("x = ‸\n"))
    assert hit is not None
    assert hit.reason is Reason.EMPTY
    assert cache.find(place("x = f‸\n")) is None


def test_the_newest_answer_wins() -> None:
    cache = Cache()
    cache.put(place("x = ‸\n"), "foo(1)", None)
    cache.put(place("x = f‸\n"), "ive", None)
    hit = cache.find(place("x = fi‸\n"))
    assert hit is not None
    assert hit.text == "ve"


def test_a_closed_document_is_forgotten() -> None:
    cache, here = Cache(), place("x = ‸\n")
    cache.put(here, "1", None)
    cache.forget(here.document.uri)
    assert cache.find(here) is None
