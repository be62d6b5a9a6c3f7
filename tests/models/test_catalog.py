"""The table of models, entry by entry, and how files are recognised with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rnj_lsp.models.catalog import (
    UNKNOWN,
    Family,
    KnownModel,
    Plain,
    Special,
    families,
    family,
    family_of_name,
    known_model,
    known_models,
    recognise,
)

FILLING = [item for item in families() if item.fim is not None]


def vocabulary(*tokens: str) -> Callable[[str], bool]:
    """Return what says whether a token is in a vocabulary."""
    return lambda token: token in tokens


def test_rnj_1_comes_first_and_names_are_unique() -> None:
    assert families()[0].name == "rnj-1"
    assert [model.name for model in known_models()][:2] == ["rnj-1-instruct", "rnj-1"]
    assert len({item.name for item in families()}) == len(families())
    assert len({model.name for model in known_models()}) == len(known_models())


@pytest.mark.parametrize("item", families(), ids=lambda item: item.name)
def test_every_family_is_complete(item: Family) -> None:
    assert item.title
    assert item.ends
    assert item.context_tokens >= 512
    assert 0 <= item.sampling.temperature <= 1
    assert 0 < item.sampling.top_p <= 1
    assert item.sampling.repeat_penalty >= 1
    assert item.patterns
    assert family_of_name(f"someone/{item.patterns[0]}-7B-GGUF") == item
    assert family(item.name) is item


@pytest.mark.parametrize("item", FILLING, ids=lambda item: item.name)
def test_every_layout_gives_its_specials_and_both_texts_in_order(item: Family) -> None:
    assert item.fim is not None
    parts = item.fim.parts("PREFIX", "SUFFIX")
    specials = [part.text for part in parts if isinstance(part, Special)]
    assert sorted(specials) == sorted(item.fim.specials)
    assert {part.text for part in parts if isinstance(part, Plain)} == {"PREFIX", "SUFFIX"}
    whole = item.fim.layout.replace("{prefix}", "PREFIX").replace("{suffix}", "SUFFIX")
    assert "".join(part.text for part in parts) == whole


@pytest.mark.parametrize("item", FILLING, ids=lambda item: item.name)
def test_texts_that_look_like_the_layout_stay_plain(item: Family) -> None:
    assert item.fim is not None
    prefix, suffix = f"{{suffix}}{item.fim.specials[0]}", "{prefix}{suffix}"
    parts = item.fim.parts(prefix, suffix)
    assert Plain(prefix) in parts
    assert Plain(suffix) in parts
    assert len([part for part in parts if isinstance(part, Special)]) == len(item.fim.specials)
    text = item.fim.text("P{suffix}", "S{prefix}")
    assert "P{suffix}" in text
    assert "S{prefix}" in text


@pytest.mark.parametrize("item", FILLING, ids=lambda item: item.name)
def test_empty_texts_are_left_out(item: Family) -> None:
    assert item.fim is not None
    parts = item.fim.parts("", "")
    assert all(isinstance(part, Special) for part in parts)


def test_rnj_1_is_asked_prefix_suffix_middle_and_the_starter_suffix_first() -> None:
    rnj, starter = family("rnj-1").fim, family("starter").fim
    assert rnj is not None
    assert starter is not None
    pre, suf, mid = (Special(f"<|{name}_fim|>") for name in ("pre", "suf", "mid"))
    assert rnj.parts("P", "S") == (pre, Plain("P"), suf, Plain("S"), mid)
    assert starter.parts("P", "S") == (pre, suf, Plain("S"), mid, Plain("P"))
    assert family("rnj-1").stop_ids == (128005, 128009, 128001)


def test_codellama_is_spelled_differently_as_text() -> None:
    fim = family("codellama").fim
    assert fim is not None
    assert fim.parts("P", "S")[0] == Special("▁<PRE>")
    assert fim.text("P", "S") == "<PRE> P <SUF>S <MID>"


@pytest.mark.parametrize("model", known_models(), ids=lambda model: model.name)
def test_every_model_has_a_family_files_and_a_licence(model: KnownModel) -> None:
    found = known_model(model.name.upper())
    assert found is model
    assert found is not None
    assert family(found.family) is not UNKNOWN
    assert found.licence
    assert found.files
    for file in found.files:
        assert file.pattern == file.pattern.lower()
        assert found.memory_bytes(file, 8192) > file.size_bytes


def test_the_memory_of_rnj_1_counts_its_kv_cache() -> None:
    model = known_model("rnj-1-instruct")
    assert model is not None
    small = model.memory_bytes(model.files[0], 1024)
    large = model.memory_bytes(model.files[0], 8192)
    assert large - small == pytest.approx(1.1 * 7168 * 128 * 1024, abs=2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("EssentialAI/rnj-1-instruct", "rnj-1"),
        ("rnj-1:8b", "rnj-1"),
        ("Rnj 1 Instruct", "rnj-1"),
        ("Rnj starter", "starter"),
        ("qwen2.5-coder:7b", "qwen2.5-coder"),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3-coder"),
        ("bigcode/starcoder2-3b", "starcoder2"),
        ("codellama:7b-code", "codellama"),
        ("ibm-granite/granite-8b-code-base", "granite-code"),
        ("granite4:tiny-h", "granite-4"),
        ("Codestral_22B", "codestral"),
        ("gpt-5", None),
        ("", None),
    ],
)
def test_an_endpoints_model_is_known_by_its_name(name: str, expected: str | None) -> None:
    found = family_of_name(name)
    assert (found.name if found else None) == expected


RNJ_TOKENS = ("<|pre_fim|>", "<|suf_fim|>", "<|mid_fim|>", "<|eoc_fim|>")


def test_the_starter_is_told_from_rnj_1_by_its_name() -> None:
    has = vocabulary(*RNJ_TOKENS)
    starter = recognise({"general.name": "Rnj starter"}, has, None)
    real = recognise({"general.name": "Rnj 1 Instruct"}, has, None)
    nameless = recognise({}, has, None)
    assert [found.family.name for found in (starter, real, nameless)] == [
        "starter",
        "rnj-1",
        "rnj-1",
    ]
    assert starter.fills
    assert real.fills
    assert nameless.fills
    assert "vocabulary" in nameless.reason


@pytest.mark.parametrize("item", FILLING, ids=lambda item: item.name)
def test_a_family_is_recognised_by_name_and_tokens(item: Family) -> None:
    assert item.fim is not None
    found = recognise({"general.name": item.patterns[0]}, vocabulary(*item.fim.specials), None)
    assert (found.family, found.fills) == (item, True)


@pytest.mark.parametrize("item", [f for f in FILLING if f.vocabulary], ids=lambda item: item.name)
def test_a_family_is_recognised_by_its_vocabulary_alone(item: Family) -> None:
    found = recognise({"general.name": "fine-tune"}, vocabulary(*item.vocabulary), None)
    assert (found.family, found.fills) == (item, True)


def test_a_name_without_the_tokens_is_not_believed() -> None:
    found = recognise({"general.name": "Rnj-1 Instruct"}, vocabulary("<|pre_fim|>"), None)
    assert not found.fills
    assert "Rnj-1 Instruct" in found.reason
    assert "<|suf_fim|>" in found.reason


def test_a_wrong_name_yields_to_the_tokens_that_are_there() -> None:
    qwen = family("qwen2.5-coder")
    found = recognise({"general.name": "Rnj-1"}, vocabulary(*qwen.vocabulary), None)
    assert (found.family, found.fills) == (qwen, True)


def test_tokens_that_tell_no_order_are_not_guessed_from() -> None:
    # StarCoder and Mellum have the same three tokens in different orders.
    has = vocabulary("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
    found = recognise({"general.name": "mystery"}, has, None)
    assert not found.fills
    assert found.family is UNKNOWN


def test_llama_cpps_own_finding_is_the_last_resort() -> None:
    found = recognise({}, vocabulary(), ("<A>", "<B>", "<C>"))
    assert found.fills
    assert found.family.name == "unknown"
    assert found.family.fim is not None
    assert found.family.fim.text("p", "s") == "<A>p<B>s<C>"
    assert not recognise({}, vocabulary(), ("<A>", "", "<C>")).fills


def test_a_model_that_was_not_trained_for_it_is_refused_with_a_reason() -> None:
    found = recognise({"general.name": "SmolLM2 1.7B"}, vocabulary(), ("<A>", "<B>", "<C>"))
    assert not found.fills
    assert "SmolLM" in found.reason
