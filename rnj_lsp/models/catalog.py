"""The table of known models: how each fills in the middle, stops, chats and is sampled.

The table itself is `catalog.toml`; it is read on first use.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Special:
    """A special token of a prompt, by its text in the vocabulary."""

    text: str


@dataclass(frozen=True, slots=True)
class Plain:
    """Ordinary text of a prompt: tokenized without special parsing."""

    text: str


Part = Special | Plain


@dataclass(frozen=True, slots=True)
class FillInMiddle:
    """How one family of models is asked to fill in the middle."""

    layout: str
    """The prompt with its holes, such as `<|pre_fim|>{prefix}<|suf_fim|>{suffix}<|mid_fim|>`."""

    specials: tuple[str, ...]
    """Every special token that the layout uses, as the vocabulary spells it."""

    ends: tuple[str, ...]
    """Special tokens that end a middle."""

    raw_layout: str = ""
    """The layout as text for an endpoint that tokenizes it; empty: `layout` itself.

    It differs where the vocabulary's spelling is not the text that a user types, as with
    CodeLlama's `▁<PRE>`.
    """

    def parts(self, prefix: str, suffix: str) -> tuple[Part, ...]:
        """Return the prompt as special tokens and plain text, in order, empty texts left out."""
        holes = {"{prefix}": Plain(prefix), "{suffix}": Plain(suffix)}
        names = [*holes, *sorted(self.specials, key=len, reverse=True)]
        pieces = re.split("(" + "|".join(re.escape(name) for name in names) + ")", self.layout)
        parts = [
            holes.get(piece) or (Special if piece in self.specials else Plain)(piece)
            for piece in pieces
        ]
        return tuple(part for part in parts if part.text)

    def text(self, prefix: str, suffix: str) -> str:
        """Return the prompt as one text; the caller has neutralised the prefix and suffix."""
        before, after = re.split(r"\{prefix\}", self.raw_layout or self.layout)
        return before.replace("{suffix}", suffix) + prefix + after.replace("{suffix}", suffix)


@dataclass(frozen=True, slots=True)
class MultiFile:
    """How one family of models is shown several files."""

    repository: str
    """What begins the prompt, with {name}; empty where there is no such thing."""

    file: str
    """What stands before each file's text, with {path}."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the authors of a model recommend to sample it in a chat."""

    temperature: float
    top_p: float
    repeat_penalty: float
    """1.0: none."""


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share tokens and habits."""

    name: str
    title: str
    fim: FillInMiddle | None
    """None: it cannot usably fill in the middle."""

    file_name: tuple[str, str] | None
    """Tokens around a file's name in front of its text; using them is a switch."""

    multi_file: MultiFile | None

    ends: tuple[str, ...]
    """Texts of special tokens that end any answer."""

    stop_ids: tuple[int, ...]
    """Token ids that end any answer, for a remote endpoint that takes them; empty: not known."""

    chat: Literal["template", "none"]
    """`template`: chats with the template inside its GGUF file."""

    tool_style: Literal["hermes", "none"]
    """How a local host reads tool calls out of the model's text."""

    sampling: Sampling
    context_tokens: int
    """The window the model was trained for."""

    patterns: tuple[str, ...]
    """Lower-case fragments of names by which an endpoint's or a file's model is recognised."""

    vocabulary: tuple[str, ...]
    """Tokens that, all present, tell the family without a name; empty: they tell nothing."""

    other_specials: tuple[str, ...] = ()
    """Further special tokens that a user's text must not turn into."""

    note: str = ""
    """What is not sure about the entry."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """One quantisation of a model."""

    quantisation: str
    """Such as `Q4_K_M`."""

    pattern: str
    """The file's name in the repository, as a lower-case shell pattern."""

    size_bytes: int
    """About; the repository knows exactly."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that can be downloaded, or is bundled."""

    name: str
    """As the user writes it, such as `rnj-1-instruct`."""

    title: str
    family: str
    repository: str
    """On the Hugging Face hub; empty for the bundled starter."""

    files: tuple[KnownFile, ...]
    """The recommended one first."""

    kv_bytes_per_token: int
    """KV cache for one token in f16."""

    licence: str
    note: str = ""

    def memory_bytes(self, file: KnownFile, context_tokens: int) -> int:
        """Return what running it takes: weights, KV cache in f16, and a tenth for the rest."""
        return int((file.size_bytes + self.kv_bytes_per_token * context_tokens) * 1.1)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a model file was found to be."""

    family: Family
    fills: bool
    """It can fill in the middle."""

    reason: str
    """A sentence that says how it was recognised, or why it cannot fill in the middle."""


def families() -> tuple[Family, ...]:
    """Return every family, in the order of the table."""
    return tuple(_table()[0].values())


def known_models() -> tuple[KnownModel, ...]:
    """Return every model that can be downloaded or is bundled, recommended ones first."""
    return tuple(_table()[1].values())


def family(name: str) -> Family:
    """Return the family of this name, or the empty family `unknown`."""
    return _table()[0].get(name, UNKNOWN)


def known_model(name: str) -> KnownModel | None:
    """Return the model of this name, whatever its case."""
    return _table()[1].get(name.lower())


def family_of_name(name: str) -> Family | None:
    """Return the family that a model's name tells, such as `EssentialAI/rnj-1-instruct`."""
    plain = re.sub(r"[\s_]+", "-", name.lower())
    named = (item for item in families() if any(pattern in plain for pattern in item.patterns))
    return next(named, None)


def recognise(
    metadata: Mapping[str, str],
    has_token: Callable[[str], bool],
    detected: tuple[str, str, str] | None,
) -> Recognised:
    """Return what a GGUF file is, from its metadata and its vocabulary.

    `has_token` says whether a text is one special token of the vocabulary; `detected` is
    llama.cpp's own finding: the texts of its prefix, suffix and middle tokens. A name alone is
    never believed: every token of a layout must be there.
    """
    name = metadata.get("general.name") or metadata.get("general.basename") or ""
    named = family_of_name(name)
    if named is not None and named.fim is None:
        reason = f"{named.title} models were not trained to fill in the middle"
        return Recognised(named, False, reason)
    layout = named.fim.specials if named is not None and named.fim is not None else ()
    missing = [token for token in layout if not has_token(token)]
    if named is not None and not missing:
        reason = f"the file says it is {name}, and the tokens of {named.title} are there"
        return Recognised(named, True, reason)
    for item in families():
        if item.vocabulary and all(has_token(token) for token in item.vocabulary):
            return Recognised(item, True, f"its vocabulary has the tokens of {item.title}")
    if detected is not None and all(detected):
        return Recognised(
            _ad_hoc(detected), True, f"llama.cpp found {', '.join(detected)} in its vocabulary"
        )
    if named is not None:
        reason = f"the file says it is {name}, but its vocabulary lacks {missing[0]}"
        return Recognised(named, False, reason)
    reason = "its vocabulary has no fill-in-the-middle tokens that are known"
    return Recognised(UNKNOWN, False, reason)


_CAUTIOUS = Sampling(temperature=0.2, top_p=0.95, repeat_penalty=1.0)

UNKNOWN = Family(
    name="unknown",
    title="unknown",
    fim=None,
    file_name=None,
    multi_file=None,
    ends=(),
    stop_ids=(),
    chat="template",
    tool_style="hermes",
    sampling=_CAUTIOUS,
    context_tokens=8192,
    patterns=(),
    vocabulary=(),
)
"""The family of a model of which nothing is known."""


def _ad_hoc(detected: tuple[str, str, str]) -> Family:
    prefix, suffix, middle = detected
    layout = f"{prefix}{{prefix}}{suffix}{{suffix}}{middle}"
    fim = FillInMiddle(layout=layout, specials=detected, ends=())
    return Family(
        name=UNKNOWN.name,
        title="a model that llama.cpp recognised",
        fim=fim,
        file_name=None,
        multi_file=None,
        ends=(),
        stop_ids=(),
        chat="template",
        tool_style="hermes",
        sampling=_CAUTIOUS,
        context_tokens=UNKNOWN.context_tokens,
        patterns=(),
        vocabulary=(),
    )


@cache
def _table() -> tuple[dict[str, Family], dict[str, KnownModel]]:
    text = resources.files("rnj_lsp.models").joinpath("catalog.toml").read_text("utf-8")
    table = tomllib.loads(text)
    found = {item["name"]: _family_from_toml(item) for item in table["family"]}
    models = {item["name"]: _model_from_toml(item) for item in table["model"]}
    return found, models


def _family_from_toml(item: dict[str, Any]) -> Family:
    fim, multi = item.get("fim"), item.get("multi_file")
    names = item.get("file_name")
    return Family(
        name=item["name"],
        title=item["title"],
        fim=None
        if fim is None
        else FillInMiddle(
            layout=fim["layout"],
            specials=tuple(fim["specials"]),
            ends=tuple(fim["ends"]),
            raw_layout=fim.get("raw_layout", ""),
        ),
        file_name=(names[0], names[1]) if names else None,
        multi_file=MultiFile(multi["repository"], multi["file"]) if multi else None,
        ends=tuple(item["ends"]),
        stop_ids=tuple(item.get("stop_ids", ())),
        chat=item["chat"],
        tool_style=item.get("tool_style", "none"),
        sampling=Sampling(**item["sampling"]),
        context_tokens=item["context_tokens"],
        patterns=tuple(item["patterns"]),
        vocabulary=tuple(item.get("vocabulary", ())),
        other_specials=tuple(item.get("other_specials", ())),
        note=item.get("note", ""),
    )


def _model_from_toml(item: dict[str, Any]) -> KnownModel:
    return KnownModel(
        name=item["name"],
        title=item["title"],
        family=item["family"],
        repository=item["repository"],
        files=tuple(KnownFile(**file) for file in item["files"]),
        kv_bytes_per_token=item["kv_bytes_per_token"],
        licence=item["licence"],
        note=item.get("note", ""),
    )
