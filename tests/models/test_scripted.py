"""The scripted model answers from its list, with delays and faults."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest

from rnj_lsp.models.model import (
    ChatRequest,
    Chunk,
    CompletionRequest,
    Message,
    ModelBroken,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelState,
    RateLimited,
    TokenCount,
    ToolCall,
    Usage,
)
from rnj_lsp.models.scripted import Answer, Script, ScriptedModel, load_script
from tests.models.remote import middle, whole

EXAMPLE = """
name = "demo"
family = "rnj-1"
context_tokens = 4096

[[completion]]
prefix_ends = "return "
text = "a + b"
piece_characters = 2
delay_s = 0.25

[[completion]]
text = "first"

[[completion]]
prefix_matches = 'class \\w+$'
text = ":"
times = 1

[[completion]]
text = "second"

[[chat]]
user_matches = "rename"
text = "I rename it."
tool_calls = [
  { name = "edit", arguments = { path = "a.py" } },
  { id = "x", name = "done", arguments = "{" },
]
"""


def quiet(state: ModelState) -> None:
    pass


def scripted(*answers: Answer) -> ScriptedModel:
    return ScriptedModel(Script(completion=answers), quiet)


async def test_answers_come_by_condition_first_and_in_order_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "script.toml"
    path.write_text(EXAMPLE)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    model = ScriptedModel(load_script(path), quiet, sleep)
    assert (model.info.name, model.info.family, model.info.context_tokens) == (
        "demo",
        "rnj-1",
        4096,
    )
    prefixes = ["x", "    return ", "class A", "class B", "return "]
    texts = [await middle(model, prefix, "") for prefix in prefixes]
    assert texts == ["first", "a + b", ":", "second", "a + b"]
    assert slept == [0.25] * 6
    assert [request.prefix for request in model.completions] == prefixes
    with pytest.raises(ModelBroken, match="no answer"):
        await middle(model, "x", "")


async def test_pieces_and_usage_are_those_of_the_script() -> None:
    model = scripted(Answer("abcdefgh!", piece_characters=4))
    chunks = await whole(model.complete(CompletionRequest("12345", "", max_tokens=100)))
    assert [chunk.text for chunk in chunks] == ["abcd", "efgh", "!", ""]
    assert chunks[-1].usage == Usage(2, 0, 3)


async def test_a_chat_answers_with_tool_calls(tmp_path: Path) -> None:
    path = tmp_path / "script.toml"
    path.write_text(EXAMPLE)
    model = ScriptedModel(load_script(path), quiet)
    request = ChatRequest((Message("user", "please rename it"),), max_tokens=50)
    chunks = await whole(model.chat(request))
    assert "".join(chunk.text for chunk in chunks) == "I rename it."
    assert chunks[-1].tool_calls == (
        ToolCall("call_0", "edit", json.dumps({"path": "a.py"})),
        ToolCall("x", "done", "{"),
    )
    assert chunks[-1].finish == "tool_calls"
    assert model.chats == [request]


async def test_stops_and_limits_hold_as_with_a_real_model() -> None:
    model = scripted(Answer("one\n\ntwo", piece_characters=1), Answer("x" * 50))
    assert await middle(model, "", "", ("\n\n",)) == "one"
    chunks = await whole(model.complete(CompletionRequest("", "", max_tokens=3)))
    assert chunks[0].text == "x" * 12
    assert chunks[-1] == Chunk(finish="length", usage=Usage(0, 0, 3))


@pytest.mark.parametrize("name", ["ModelUnreachable", "KeyRefused", "ModelTimeout", "HostFailed"])
async def test_every_error_can_be_played(name: str) -> None:
    model = scripted(Answer("half", error=name, message="as told"))
    with pytest.raises(ModelError, match="as told") as caught:
        await middle(model, "", "")
    assert type(caught.value).__name__ == name


async def test_a_rate_limit_carries_its_time() -> None:
    model = scripted(Answer(error="RateLimited", retry_after_s=3.0))
    with pytest.raises(RateLimited) as caught:
        await middle(model, "", "")
    assert caught.value.retry_after_s == 3.0


async def test_a_hanging_answer_ends_when_it_is_cancelled() -> None:
    model = scripted(Answer("half", error="hang"))
    task = asyncio.create_task(middle(model, "", ""))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.abandoned == 1


async def test_a_closed_answer_is_counted_as_abandoned() -> None:
    model = scripted(Answer("abc", piece_characters=1))
    async with aclosing(model.complete(CompletionRequest("", "", max_tokens=9))) as answer:
        await anext(answer)
    assert model.abandoned == 1


async def test_states_are_told_when_they_change() -> None:
    states: list[str] = []
    answers = (Answer("a"), Answer("b"), Answer(error="ModelUnreachable"), Answer("c"))
    model = ScriptedModel(Script(completion=answers), lambda state: states.append(state.kind))
    for _ in range(4):
        try:
            await middle(model, "", "")
        except ModelError:
            continue
    assert states == ["ready", "unreachable", "ready"]


async def test_tokens_are_four_characters_each() -> None:
    assert await scripted().count_tokens("12345") == TokenCount(2, exact=True)


def test_a_script_may_be_json(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"completion": [{"text": "x"}]}')
    assert load_script(path) == Script(completion=(Answer("x"),))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x =", "not valid"),
        ("txt = 1", "'txt' is not known"),
        ('[[completion]]\ntext = "a"\nerror = "Oops"', "no error 'Oops'"),
        ("[[completion]]\nprefix_matches = '('", "not valid"),
        ("completion = [1]", "not a table"),
        ("completion = 3", "not valid"),
        ('[[chat]]\ntool_calls = [{ arguments = "x" }]', "not valid"),
    ],
)
def test_a_bad_script_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ModelRefused, match=words) as caught:
        load_script(path)
    assert "bad.toml" in str(caught.value)


def test_a_missing_script_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"none\.toml"):
        load_script(tmp_path / "none.toml")
