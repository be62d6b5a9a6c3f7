"""Token ids of fill-in-the-middle prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.conftest import OpenEngine
from tests.support.tiny_gguf import SPECIALS, TinyModel

PREFIX, SUFFIX = "def area(r):\n    return ", "\n\nprint(area(2))\n"


def test_rnj1_prompt_is_bos_pre_prefix_suf_suffix_mid(
    open_engine: OpenEngine, rnj1_tokenizer: Path | None
) -> None:
    vocabulary = (engine := open_engine(TinyModel(tokenizer=rnj1_tokenizer))).vocabulary
    bos, pre, suf, mid = (
        vocabulary.specials[f"<|{name}|>"]
        for name in ("begin_of_text", "pre_fim", "suf_fim", "mid_fim")
    )
    if rnj1_tokenizer is not None:
        assert (bos, pre, suf, mid) == (128000, 128002, 128003, 128004)
    prefix = vocabulary.tokenize(PREFIX, special=False)
    suffix = vocabulary.tokenize(SUFFIX, special=False)
    assert prefix
    assert suffix
    assert engine.facts.family.name == "rnj-1"
    assert engine.prompt_of(PREFIX, SUFFIX) == [bos, pre, *prefix, suf, *suffix, mid]


def test_code_is_split_as_the_tokenizer_splits_it_and_nothing_is_lost(
    open_engine: OpenEngine, rnj1_tokenizer: Path | None
) -> None:
    vocabulary = open_engine(TinyModel(tokenizer=rnj1_tokenizer)).vocabulary
    text = "    return x # naïve 🦀\r\n\t\x00\u2028"
    ids = vocabulary.tokenize(text, special=False)
    assert b"".join(vocabulary.piece(token, special=False) for token in ids) == text.encode()
    # The last of four spaces goes with the word, where the vocabulary has such a word.
    expected = ["ĠĠĠ", "Ġreturn", "Ġx"] if rnj1_tokenizer else ["ĠĠ", "Ġ", "Ġ"]
    assert [vocabulary.text(token) for token in ids[:3]] == expected


def test_the_starters_prompt_has_the_suffix_first(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel(name="rnj-starter"))
    vocabulary = engine.vocabulary
    bos, pre, suf, mid = (
        vocabulary.specials[f"<|{name}|>"]
        for name in ("begin_of_text", "pre_fim", "suf_fim", "mid_fim")
    )
    prefix = vocabulary.tokenize(PREFIX, special=False)
    suffix = vocabulary.tokenize(SUFFIX, special=False)
    assert engine.facts.family.name == "starter"
    assert engine.prompt_of(PREFIX, SUFFIX) == [bos, pre, suf, *suffix, mid, *prefix]


@pytest.mark.parametrize("user_defined", [False, True])
def test_the_text_of_a_special_token_in_a_file_becomes_no_such_token(
    open_engine: OpenEngine, rnj1_tokenizer: Path | None, user_defined: bool
) -> None:
    engine = open_engine(TinyModel(tokenizer=rnj1_tokenizer, user_defined=user_defined))
    for text in SPECIALS:
        prompt = engine.prompt_of(f"a {text} b{text}", f"{text}{text} c")
        specials = [token for token in prompt if token in engine.vocabulary.specials.values()]
        assert [engine.vocabulary.text(token) for token in specials] == [
            "<|begin_of_text|>",
            "<|pre_fim|>",
            "<|suf_fim|>",
            "<|mid_fim|>",
        ]
        # Nothing of the user's text is lost by that.
        shown = b"".join(engine.vocabulary.piece(token, special=True) for token in prompt)
        assert f"a {text} b{text}".encode() in shown
        assert f"{text}{text} c".encode() in shown


def test_an_empty_prefix_and_suffix_leave_the_special_tokens(open_engine: OpenEngine) -> None:
    engine = open_engine(TinyModel())
    names = [engine.vocabulary.text(token) for token in engine.prompt_of("", "")]
    assert names == ["<|begin_of_text|>", "<|pre_fim|>", "<|suf_fim|>", "<|mid_fim|>"]


def test_a_raw_prompt_that_has_bos_already_gets_no_second_one(open_engine: OpenEngine) -> None:
    vocabulary = open_engine(TinyModel()).vocabulary
    once = vocabulary.with_bos(vocabulary.tokenize("x", special=True))
    written = vocabulary.with_bos(vocabulary.tokenize("<|begin_of_text|>x", special=True))
    assert once == written == [vocabulary.bos, ord("x")]
