"""Tool calls are put together from whatever fragments a server sends."""

from __future__ import annotations

from typing import Any

import pytest

from rnj_lsp.models.answers import Calls
from rnj_lsp.models.model import ToolCall


def fragment(name: Any, arguments: Any, **rest: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **rest}


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        (
            [fragment("f", "{", index=0, id="a"), fragment(None, "}", index=0)],
            [ToolCall("a", "f", "{}")],
        ),
        (
            [fragment("f", "{", id="a"), fragment(None, "}"), fragment("g", "{}", id="b")],
            [ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}")],
        ),
        ([fragment("f", {"x": 1}, index=0)], [ToolCall("call_0", "f", '{"x": 1}')]),
        ([fragment("f", "{}", index={}, id=["a"])], [ToolCall("call_0", "f", "{}")]),
        ([{"index": 0, "function": "f"}, {}], [ToolCall("call_0", "", "")]),
        ([], []),
    ],
)
def test_fragments_become_calls(fragments: list[dict[str, Any]], expected: list[ToolCall]) -> None:
    calls = Calls()
    for item in fragments:
        calls.add([item])
    assert list(calls.done()) == expected
