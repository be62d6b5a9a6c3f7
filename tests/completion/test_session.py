"""The session: which request lives, what it sends, and how its answer is cut and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from rnj_lsp.completion.session import Session
from rnj_lsp.completion.suggestion import Outcome, Place, Reason, Trigger
from rnj_lsp.models.scripted import Answer, Script, ScriptedModel
from rnj_lsp.settings import CompletionSettings
from tests.support.notation import place

Sleep = Callable[[float], Awaitable[None]]


class Gate:
    """A sleep that lasts until it is opened, in place of the clock."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._opened = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await self._opened.wait()

    def open(self) -> None:
        self._opened.set()


def scripted(*answers: Answer, sleep: Sleep = asyncio.sleep, **script: object) -> ScriptedModel:
    made = replace(Script(completion=answers), **script)  # type: ignore[arg-type]
    return ScriptedModel(made, lambda state: None, sleep)


async def suggested(
    model: ScriptedModel,
    where: Place,
    trigger: Trigger = Trigger.INVOKED,
    settings: CompletionSettings | None = None,
) -> Outcome:
    session = Session(model)
    try:
        return await session.suggest(where, trigger, settings or CompletionSettings())
    finally:
        await session.close()


def text_of(outcome: Outcome) -> str | None:
    return outcome.suggestion.text if outcome.suggestion else None


@pytest.mark.parametrize(
    ("marked", "answer", "expected"),
    [
        # The rest of a line ends with the line.
        ("x = ‸\ny = 2\n", "1\nz = 3\n", "1"),
        # A line that opens a block goes on to the end of the block.
        (
            "def f(a):\n    b = a\n    ‸\n\n\nx = 1\n",
            "if b:\n        return b\n    return a\n",
            "if b:\n        return b",
        ),
        # An empty body is a block from the start.
        (
            "def add(a, b):\n    ‸\n",
            "c = a + b\n    return c\n\n\ndef sub(a, b):\n    return a - b\n",
            "c = a + b\n    return c",
        ),
        ("def add(a, b):‸\n", "\n    return a + b\n\nx = 1\n", "\n    return a + b"),
        # The line below is not written again.
        (
            "def f():\n    ‸\n\n\nprint(f())\n",
            "return 1\n\n\nprint(f())\nprint(f())\n",
            "return 1",
        ),
        # A call that goes on over several lines is taken whole.
        (
            "def f():\n    ‸\n    return x\n",
            "x = call(\n        1,\n    )\n    y = 2\n",
            "x = call(\n        1,\n    )",
        ),
        # What is said again and again is said once; rows of numbers and rulers are no loops.
        ("x = max(‸\n", "a.b, " * 20, "a.b"),
        ("if a‸\n", " and other.thing()" * 20, " and other.thing()"),
        ("x = [‸\n", "0, 0, 0, 0, 0, 0, 0, 0]\n", "0, 0, 0, 0, 0, 0, 0, 0]"),
        ("# ‸\n", "-" * 60 + "\n", "-" * 60),
        # Inside a comment only the line.
        ("# it adds ‸\nx = 1\n", "numbers\nif x:\n    pass\n", "numbers"),
    ],
)
@pytest.mark.parametrize("piece_characters", [0, 1, 3])
async def test_an_answer_is_cut_where_it_is_complete(
    marked: str, answer: str, expected: str, piece_characters: int
) -> None:
    model = scripted(Answer(answer, piece_characters=piece_characters))
    assert text_of(await suggested(model, place(marked))) == expected


async def test_the_model_is_stopped_as_soon_as_the_answer_is_complete() -> None:
    model = scripted(Answer("1\n" + "never needed\n" * 100, piece_characters=4))
    assert text_of(await suggested(model, place("x = ‸\n"))) == "1"
    assert model.abandoned == 1


async def test_a_model_that_repeats_itself_is_stopped() -> None:
    model = scripted(Answer("x()\n    " * 50, piece_characters=4))
    outcome = await suggested(model, place("def f():\n    ‸\n"))
    assert text_of(outcome) == "x()"
    assert model.abandoned == 1


async def test_the_prompt_names_the_file_and_holds_both_sides() -> None:
    model = scripted(Answer("1"))
    await suggested(model, place("a = 0\nx = ‸\nb = 2\n", name="pkg/app.py"))
    request = model.completions[0]
    assert (request.prefix, request.suffix) == ("# pkg/app.py\na = 0\nx = ", "\nb = 2\n")


async def test_typing_along_and_the_same_state_cost_no_request() -> None:
    model = scripted(Answer("foo(1)"))
    session = Session(model)
    for marked, expected in [
        ("x = ‸\n", "foo(1)"),
        ("x = ‸\n", "foo(1)"),
        ("x = fo‸\n", "o(1)"),
        ("x = foo(‸)\n", "1"),
    ]:
        outcome = await session.suggest(place(marked), Trigger.AUTOMATIC, CompletionSettings())
        assert text_of(outcome) == expected
    assert len(model.completions) == 1
    await session.close()


async def test_a_newer_request_ends_the_older_one() -> None:
    gate = Gate()
    model = scripted(Answer("late", prefix_ends="x = ", delay_s=1), Answer("new"), sleep=gate.sleep)
    session = Session(model)
    settings = CompletionSettings(debounce_ms=0)
    older = asyncio.create_task(session.suggest(place("x = ‸\n"), Trigger.AUTOMATIC, settings))
    while not gate.waits:
        await asyncio.sleep(0)
    newer = await session.suggest(place("x = y‸\n"), Trigger.AUTOMATIC, settings)
    assert (await older).reason is Reason.SUPERSEDED
    assert text_of(newer) == "new"
    assert model.abandoned == 1
    await session.close()


async def test_requests_of_different_documents_do_not_disturb_each_other() -> None:
    model = scripted(Answer("1", prefix_ends="x = "), Answer("2", prefix_ends="y = "))
    session, settings = Session(model), CompletionSettings()
    one, two = await asyncio.gather(
        session.suggest(place("x = ‸\n", name="a.py"), Trigger.INVOKED, settings),
        session.suggest(place("y = ‸\n", name="b.py"), Trigger.INVOKED, settings),
    )
    assert (text_of(one), text_of(two)) == ("1", "2")
    await session.close()


async def test_cancelling_the_caller_ends_the_models_work() -> None:
    gate = Gate()
    model = scripted(Answer("late", delay_s=1), sleep=gate.sleep)
    session = Session(model)
    task = asyncio.create_task(
        session.suggest(place("x = ‸\n"), Trigger.INVOKED, CompletionSettings())
    )
    while not gate.waits:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.abandoned == 1
    await session.close()


async def test_typing_waits_a_moment_and_asking_does_not() -> None:
    gate, model = Gate(), scripted(Answer("1"), Answer("2"))
    session = Session(model, sleep=gate.sleep)
    settings = CompletionSettings(debounce_ms=75)
    typed = asyncio.create_task(session.suggest(place("x = ‸\n"), Trigger.AUTOMATIC, settings))
    while not gate.waits:
        await asyncio.sleep(0)
    assert (gate.waits, model.completions) == ([0.075], [])
    gate.open()
    assert text_of(await typed) == "1"
    assert text_of(await session.suggest(place("y = ‸\n"), Trigger.INVOKED, settings)) == "2"
    assert len(gate.waits) == 1
    await session.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(error="ModelBroken", message="it fell over"), Reason.MODEL_FAILED),
        (Answer(error="ModelTimeout"), Reason.TOO_SLOW),
        (Answer(error="PromptTooLong", prefix_ends="x = "), Reason.NOTHING_FITS),
        (Answer(""), Reason.EMPTY),
        (Answer("<|eoc_fim|>"), Reason.SENTINEL),
    ],
)
async def test_every_silence_has_a_reason(answer: Answer, reason: Reason) -> None:
    outcome = await suggested(scripted(answer), place("x = ‸\n"))
    assert (outcome.suggestion, outcome.reason) == (None, reason)
    assert outcome.explanation


async def test_a_prompt_that_does_not_fit_is_made_smaller_and_asked_again() -> None:
    model = scripted(Answer(error="PromptTooLong", times=2, prefix_ends=" = "), Answer("1"))
    # The window is small, so the first prompt is cut already.
    text = "value = compute(1)\n" * 200 + "x = ‸\n"
    settings = CompletionSettings(context_tokens=256)
    assert text_of(await suggested(model, place(text), settings=settings)) == "1"
    lengths = [len(request.prefix) for request in model.completions]
    assert len(lengths) == 3
    assert lengths[0] > lengths[1] > lengths[2]


async def test_a_model_that_cannot_fill_says_so_and_is_not_asked() -> None:
    model = scripted(fills=False)
    outcome = await suggested(model, place("x = ‸\n"))
    assert (outcome.reason, model.completions) == (Reason.CANNOT_FILL, [])


@pytest.mark.parametrize(
    ("marked", "trigger", "settings", "reason"),
    [
        ("x‸y\n", Trigger.AUTOMATIC, CompletionSettings(), Reason.INSIDE_WORD),
        ("‸\n", Trigger.INVOKED, CompletionSettings(enabled=False), Reason.SWITCHED_OFF),
        ("‸\n", Trigger.AUTOMATIC, CompletionSettings(automatic=False), Reason.AUTOMATIC_OFF),
        ("‸\n", Trigger.INVOKED, CompletionSettings(exclude=("app.*",)), Reason.EXCLUDED),
        (
            "‸\n",
            Trigger.INVOKED,
            CompletionSettings(disabled_languages=("python",)),
            Reason.LANGUAGE_OFF,
        ),
        ("x = '" + "a" * 3000 + "‸'\n", Trigger.INVOKED, CompletionSettings(), Reason.LONG_LINE),
    ],
)
async def test_what_is_not_wanted_is_not_asked(
    marked: str, trigger: Trigger, settings: CompletionSettings, reason: Reason
) -> None:
    model = scripted(Answer("1"))
    outcome = await suggested(model, place(marked), trigger, settings)
    assert (outcome.reason, model.completions) == (reason, [])


async def test_secrets_are_excluded_by_default() -> None:
    for name in (".env", "deploy/.env.production", "keys/server.pem", "home/.ssh/config"):
        outcome = await suggested(scripted(Answer("1")), place("KEY=‸\n", name=name))
        assert outcome.reason is Reason.EXCLUDED, name


async def test_a_failure_is_not_remembered() -> None:
    model = scripted(Answer(error="ModelBroken", times=1, prefix_ends="x = "), Answer("1"))
    session, settings = Session(model), CompletionSettings()
    first = await session.suggest(place("x = ‸\n"), Trigger.INVOKED, settings)
    second = await session.suggest(place("x = ‸\n"), Trigger.INVOKED, settings)
    assert (first.reason, text_of(second)) == (Reason.MODEL_FAILED, "1")
    await session.close()
