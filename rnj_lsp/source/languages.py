"""The table of languages: comments, blocks, file names, and which grammar parses each.

The data is `languages.toml`, keyed by the protocol's language identifiers.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Any, Literal

__all__ = ["Blocks", "Grammar", "Language", "language", "language_of_path", "languages"]

Blocks = Literal["indent", "brace", "keyword", "none"]


@dataclass(frozen=True, slots=True)
class Grammar:
    """Where a tree-sitter grammar is found: a function of a module that returns it."""

    module: str
    function: str


@dataclass(frozen=True, slots=True)
class Language:
    """What is known of one language; a language that is not in the table knows only its `id`."""

    id: str
    """The protocol's language identifier; an alias gives the identifier it stands for."""

    name: str
    """What people call it."""

    endings: tuple[str, ...] = ()
    """The ends of its file names, lower case."""

    files: tuple[str, ...] = ()
    """Whole file names."""

    aliases: tuple[str, ...] = ()
    """Other identifiers that editors send."""

    grammar: Grammar | None = None
    """Its tree-sitter grammar, if it has one."""

    line_comment: tuple[str, str] | None = None
    """What starts a comment of one line and what ends it (often nothing)."""

    block_comment: tuple[str, str] | None = None
    """What starts and ends a comment of several lines."""

    quotes: str = ""
    """The characters that open and close a string within one line."""

    blocks: Blocks = "none"
    """How the body of a block is marked."""

    terminator: str = ""
    """What ends a statement whose further lines need not be deeper than its first."""

    opener: re.Pattern[str] | None = None
    """Found in a line, without comment and trailing blanks, that opens a block."""

    header: re.Pattern[str] | None = None
    """Matches from the first word of a line that is or will be the header of a block."""

    def comment(self, text: str) -> str:
        """Return `text`, one line, as a comment; unchanged when the language has no comments."""
        if self.line_comment is None:
            return text
        start, end = (mark.strip() for mark in self.line_comment)
        return " ".join(part for part in (start, text, end) if part)


@cache
def languages() -> dict[str, Language]:
    """Return every language of the table by its identifier."""
    table = tomllib.loads(files(__package__).joinpath("languages.toml").read_text("utf-8"))
    return {id: _language(id, entry) for id, entry in table.items()}


def language(id: str) -> Language:
    """Return the language of an identifier or alias; an unknown one has no grammar or comments."""
    known = languages()
    return known.get(id) or _by_alias().get(id) or Language(id=id, name=id)


def language_of_path(path: str) -> Language:
    """Return the language that a file's name tells; plain text when it tells none."""
    name = PurePath(path.replace("\\", "/")).name
    known = _by_file().get(name)
    if known is not None:
        return known
    endings = _by_ending()
    lowered = name.lower()
    # The longest ending comes first: "x.html.erb" is tried as ".html.erb" and then as ".erb".
    for place, character in enumerate(lowered):
        if character == "." and lowered[place:] in endings:
            return endings[lowered[place:]]
    # "Dockerfile.dev" and "Makefile.am" are named by their beginning.
    return _by_file().get(name.partition(".")[0]) or languages()["plaintext"]


@cache
def _by_alias() -> dict[str, Language]:
    return {alias: language for language in languages().values() for alias in language.aliases}


@cache
def _by_file() -> dict[str, Language]:
    return {name: language for language in languages().values() for name in language.files}


@cache
def _by_ending() -> dict[str, Language]:
    return {ending: language for language in languages().values() for ending in language.endings}


def _language(id: str, entry: dict[str, Any]) -> Language:
    blocks: Blocks = entry["blocks"]
    opener = entry.get("opener", r"\{$" if blocks == "brace" else None)
    header = entry.get("header")
    return Language(
        id=id,
        name=entry["name"],
        endings=tuple(entry.get("endings", ())),
        files=tuple(entry.get("files", ())),
        aliases=tuple(entry.get("aliases", ())),
        grammar=_grammar(entry["grammar"]) if "grammar" in entry else None,
        line_comment=_pair(entry["line_comment"]) if "line_comment" in entry else None,
        block_comment=_pair(entry["block_comment"]) if "block_comment" in entry else None,
        quotes=entry.get("quotes", ""),
        blocks=blocks,
        terminator=entry.get("terminator", ""),
        opener=re.compile(opener) if opener else None,
        header=re.compile(header) if header else None,
    )


def _grammar(name: str) -> Grammar:
    module, _, function = name.partition(".")
    return Grammar(module, function or "language")


def _pair(marks: list[str]) -> tuple[str, str]:
    return marks[0], marks[1] if len(marks) > 1 else ""
