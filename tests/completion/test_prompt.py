"""The window around the cursor: what is in it, and that it stays where it is."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rnj_lsp.completion.prompt import Window, prompt
from rnj_lsp.completion.suggestion import Place
from rnj_lsp.source.document import Document, Span

FUNCTION = "def function_{0}(value):\n    result = value + {0}\n    return result\n\n\n"
FILE = "".join(FUNCTION.format(number) for number in range(200))


def place_in(text: str, offset: int) -> Place:
    return Place(Document("file:///p/a.py", "/p/a.py", "python", 1, text), offset, "pkg/a.py")


def test_a_small_file_is_in_the_prompt_whole_below_its_name() -> None:
    made = prompt(place_in("a = 1\nb = 2\n", 6), 1000, None)
    assert made.prefix == "# pkg/a.py\na = 1\n"
    assert made.suffix == "b = 2\n"


def test_a_large_file_is_cut_at_declarations_within_the_budget() -> None:
    offset = FILE.index("result = value + 100")
    made = prompt(place_in(FILE, offset), 2000, None)
    before, after = made.prefix.removeprefix("# pkg/a.py\n"), made.suffix
    assert FILE[:offset].endswith(before)
    assert FILE[offset:].startswith(after)
    assert len(before) + len(after) <= 2000
    assert len(before) > 700
    assert before.startswith("def function_")
    assert after.endswith("\n\n\n")


def test_typing_moves_neither_edge_until_the_budget_is_full() -> None:
    offset = FILE.index("    return result", len(FILE) // 2)
    text, window, starts = FILE, None, []
    for character in "    other = value * 2\n" * 40:
        text = text[:offset] + character + text[offset:]
        offset += 1
        made = prompt(place_in(text, offset), 2000, window)
        window = made.window
        starts.append(window.span.start)
        assert len(made.prefix) + len(made.suffix) <= 2000 + len("# pkg/a.py\n")
    moves = sum(one != two for one, two in itertools.pairwise(starts))
    assert moves <= 2


def test_an_edit_above_the_window_carries_it_along() -> None:
    offset = FILE.index("result = value + 150")
    first = prompt(place_in(FILE, offset), 2000, None)
    longer = "import os\n" + FILE
    second = prompt(place_in(longer, offset + 10), 2000, first.window)
    assert (second.prefix, second.suffix) == (first.prefix, first.suffix)


def test_a_jump_to_another_part_of_the_file_chooses_anew() -> None:
    first = prompt(place_in(FILE, FILE.index("value + 20\n")), 2000, None)
    offset = FILE.index("value + 180\n")
    made = prompt(place_in(FILE, offset), 2000, first.window)
    assert FILE[:offset].endswith(made.prefix.removeprefix("# pkg/a.py\n"))


@given(
    st.text(alphabet="ab(\n\r\u2028é🎉 ", max_size=300),
    st.integers(0, 300),
    st.integers(2, 200),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_a_window_is_always_text_around_the_cursor_within_the_budget(
    text: str, offset: int, budget: int, start: int, end: int
) -> None:
    offset = min(offset, len(text))
    previous = Window(text[: len(text) // 2] + "x", Span(min(start, end), max(start, end)))
    made = prompt(place_in(text, offset), budget, previous)
    before = made.prefix.removeprefix("# pkg/a.py\n")
    assert text[:offset].endswith(before)
    assert text[offset:].startswith(made.suffix)
    assert len(before) + len(made.suffix) <= budget
