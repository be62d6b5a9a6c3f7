"""The table of languages: every entry is sound, and names and identifiers lead to it."""

from __future__ import annotations

from collections import Counter

import pytest

from rnj_lsp.source import Language, language, language_of_path, languages, syntax
from rnj_lsp.source.grammars import load_grammar
from rnj_lsp.source.languages import Grammar
from tests.source.cursor import document, parsed
from tests.source.samples import SAMPLES

WITH_GRAMMAR = [known.id for known in languages().values() if known.grammar]


def test_every_language_with_a_grammar_has_a_sample() -> None:
    assert set(WITH_GRAMMAR) == set(SAMPLES)


@pytest.mark.parametrize("id", WITH_GRAMMAR)
def test_every_grammar_loads_and_parses_its_sample_without_an_error(id: str) -> None:
    sample = parsed(SAMPLES[id], id)
    assert sample.error_count == 0
    assert sample.root.span.end == len(SAMPLES[id])
    assert sample.root.named_children


@pytest.mark.parametrize("known", languages().values(), ids=lambda known: known.id)
def test_every_language_is_found_by_all_its_names(known: Language) -> None:
    assert known.name
    assert known.blocks in ("indent", "brace", "keyword", "none")
    assert known.blocks == "none" or known.opener or known.header
    for alias in (known.id, *known.aliases):
        assert language(alias) is known
    for ending in known.endings:
        assert language_of_path("/project/some" + ending) is known
        assert ending == ending.lower()
    for name in known.files:
        assert language_of_path("C:\\work\\" + name) is known


def test_no_name_stands_for_two_languages() -> None:
    names: Counter[str] = Counter()
    for known in languages().values():
        names.update({known.id, *known.aliases, *known.endings, *known.files})
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(
    ("path", "id"),
    [
        ("/a/b.py", "python"),
        ("B.PY", "python"),
        ("c:\\a\\b.d.ts", "typescript"),
        ("view.tsx", "typescriptreact"),
        ("Dockerfile.dev", "dockerfile"),
        ("CMakeLists.txt", "cmake"),
        (".env", "dotenv"),
        ("notes.txt", "plaintext"),
        ("unknown.qqq", "plaintext"),
        ("", "plaintext"),
    ],
)
def test_languages_of_paths(path: str, id: str) -> None:
    assert language_of_path(path).id == id


def test_an_unknown_language_has_neither_grammar_nor_comments() -> None:
    unknown = language("klingon")
    assert unknown == Language(id="klingon", name="klingon")
    assert unknown.comment("x") == "x"
    assert syntax(document("qo'", "klingon")) is None


@pytest.mark.parametrize(
    ("id", "comment"),
    [("python", "# x"), ("lua", "-- x"), ("html", "<!-- x -->"), ("css", "/* x */")],
)
def test_comments(id: str, comment: str) -> None:
    assert language(id).comment("x") == comment


@pytest.mark.parametrize(
    "grammar",
    [
        Grammar("tree_sitter_of_no_language", "language"),
        Grammar("tree_sitter_python", "language_of_nobody"),
        Grammar("json", "loads"),
        Grammar("os", "getcwd"),
    ],
)
def test_a_grammar_that_is_missing_or_broken_is_none(grammar: Grammar) -> None:
    assert load_grammar(grammar) is None
