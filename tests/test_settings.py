"""Settings: layers, bad values, and the table that documentation is made of."""

from __future__ import annotations

from typing import Any

import pytest

from rnj_lsp.settings import Layer, Settings, load, options


def problems_of(values: dict[str, Any], *, trusted: bool = True) -> list[str]:
    _, problems = load([Layer("the test", values, trusted)])
    return [str(problem) for problem in problems]


def test_without_layers_the_defaults_hold() -> None:
    assert load([]) == (Settings(), [])


@pytest.mark.parametrize(
    "values",
    [
        {"completion": {"debounceMs": 250}},
        {"completion": {"debounce_ms": 250}},
        {"completion.debounceMs": 250},
        {"rnj": {"completion": {"debounceMs": 250}}},
        {"rnj.completion.debounceMs": 250},
        {"completion": {"debounceMs": 250.0}},
    ],
)
def test_a_setting_is_taken_however_editors_nest_it(values: dict[str, Any]) -> None:
    settings, problems = load([Layer("the test", values)])
    assert (settings.completion.debounce_ms, problems) == (250, [])


def test_a_later_layer_wins_and_leaves_the_rest() -> None:
    first = Layer("one", {"model": "rnj-1", "completion": {"maxTokens": 32}})
    settings, _ = load([first, Layer("two", {"model": "starter"})])
    assert (settings.model, settings.completion.max_tokens) == ("starter", 32)


def test_null_means_untouched() -> None:
    assert load([Layer("the test", {"model": None, "completion": {"enabled": None}})])[1] == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"completion": {"debounceMs": "fast"}}, "not a whole number from 0 to 2000"),
        ({"completion": {"debounceMs": 99999}}, "not a whole number from 0 to 2000"),
        ({"completion": {"debounceMs": True}}, "not a whole number"),
        ({"completion": {"enabled": 1}}, "not true or false"),
        ({"completion": {"popup": "maybe"}}, "not one of 'auto', 'always', 'never'"),
        ({"completion": {"exclude": "*.py"}}, "not a list of texts"),
        ({"model": 7}, "not a text"),
        ({"completion": {"debouncems": 5}}, "did you mean rnj.completion.debounceMs?"),
        ({"completion": 5}, "no such setting"),
    ],
)
def test_a_bad_value_is_named_and_its_default_stays(values: dict[str, Any], says: str) -> None:
    settings, problems = load([Layer("the test", values | {"log": {"level": "debug"}})])
    assert says in str(problems[0])
    assert (len(problems), settings.completion, settings.log.level) == (
        1,
        Settings().completion,
        "debug",
    )


def test_a_project_file_may_not_say_where_code_goes() -> None:
    evil = {"model": "http://example.org/v1#x", "completion": {"model": "together:y"}}
    settings, problems = load([Layer(".rnj.toml", evil, trusted=False)])
    assert settings == Settings()
    assert len(problems) == 2
    assert all("a project file may not set this" in str(problem) for problem in problems)


def test_a_project_file_may_tune_completion() -> None:
    assert problems_of({"completion": {"maxTokens": 32}}, trusted=False) == []


def test_every_option_has_a_key_a_default_of_its_type_and_one_line_of_help() -> None:
    found = options()
    assert len({option.key for option in found}) == len(found) > 10
    for option in found:
        assert option.key.startswith("rnj.")
        assert option.doc.endswith((".", "never."))
        assert "\n" not in option.doc
        assert load([Layer("the test", {option.key: option.default})]) == (Settings(), [])
