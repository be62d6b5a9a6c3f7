"""Every option of rnj-lsp once: its type, default, unit and one line of help.

`load` merges layers of raw settings (project file, editor, environment) over the defaults.
A bad value never stops the server: it is reported as a `Problem` and its default stays.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

__all__ = [
    "CompletionSettings",
    "EditSettings",
    "HostSettings",
    "Layer",
    "LogSettings",
    "Option",
    "Problem",
    "Settings",
    "load",
    "options",
]


@dataclass(frozen=True, slots=True)
class Between:
    """The inclusive bounds of a number."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class UserOnly:
    """Marks an option that a project file may not set.

    A cloned repository must not be able to send its reader's code to an endpoint, nor to start
    a program, so whatever decides where code goes is the user's alone.
    """


@dataclass(frozen=True, slots=True)
class CompletionSettings:
    """`rnj.completion.*`: ghost text."""

    enabled: bool = True
    """Offer completions."""

    automatic: bool = True
    """Offer completions while typing; when off, only when asked for by key."""

    model: Annotated[str, UserOnly()] = ""
    """The model for completion when it differs from `rnj.model`; empty: the same."""

    debounce_ms: Annotated[int, Between(0, 2000)] = 60
    """Milliseconds of quiet before an automatic request goes to the model."""

    popup: Literal["auto", "always", "never"] = "auto"
    """Offer suggestions as completion items too; auto: when the editor has no ghost text."""

    max_tokens: Annotated[int, Between(8, 1024)] = 128
    """The most tokens in one suggestion."""

    context_tokens: Annotated[int, Between(128, 32768)] = 1536
    """The most tokens of the file in the prompt; a model with a smaller window gets fewer."""

    multiline: Literal["auto", "never", "always"] = "auto"
    """Suggest several lines; auto: where the syntax asks for a block."""

    disabled_languages: tuple[str, ...] = ()
    """Language identifiers without completion, such as markdown."""

    exclude: tuple[str, ...] = ("**/.env*", "**/*.pem", "**/*.key", "**/id_rsa*", "**/.ssh/**")
    """Files never sent to a model, as gitignore patterns relative to the workspace folder."""


@dataclass(frozen=True, slots=True)
class EditSettings:
    """`rnj.edit.*`: edits on request."""

    model: Annotated[str, UserOnly()] = ""
    """The model for edits when it differs from `rnj.model`; empty: the same."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """`rnj.host.*`: the process that runs a local model."""

    idle_minutes: Annotated[float, UserOnly(), Between(0, 10080)] = 30.0
    """Minutes without a request after which the model host ends and frees memory; 0: never."""

    threads: Annotated[int, UserOnly(), Between(0, 256)] = 0
    """Processor threads for the model; 0: the number of physical cores."""

    context_tokens: Annotated[int, UserOnly(), Between(512, 131072)] = 8192
    """Tokens of KV cache; Rnj-1 takes 128 KiB for each in f16."""

    kv_type: Annotated[Literal["f16", "q8_0"], UserOnly()] = "f16"
    """The number format of the KV cache; q8_0 halves its memory."""

    gpu_layers: Annotated[int, UserOnly(), Between(-1, 1000)] = -1
    """Layers on the graphics processor, when llama.cpp was built for one; -1: all."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`rnj.log.*`: what the server writes to its standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged; only debug may show file names, and no level shows code or keys."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. A part of the program takes the section it needs, not the whole."""

    model: Annotated[str, UserOnly()] = "auto"
    """auto, a catalogue name, a GGUF file, http(s)://host:port/v1#model, or provider:model."""

    completion: CompletionSettings = field(default_factory=CompletionSettings)
    edit: EditSettings = field(default_factory=EditSettings)
    host: HostSettings = field(default_factory=HostSettings)
    log: LogSettings = field(default_factory=LogSettings)


@dataclass(frozen=True, slots=True)
class Layer:
    """Raw settings from one place; a later layer wins over an earlier one."""

    source: str
    """Where they come from, as the user knows it: a file name, `the editor's settings`."""

    values: Mapping[str, Any]
    """Keys in camelCase or snake_case, nested or dotted, with or without a leading `rnj`."""

    trusted: bool = True
    """False for a project file, which may not set `UserOnly` options."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One setting that was not taken, and why."""

    source: str
    key: str
    message: str

    def __str__(self) -> str:
        """Return the sentence the user reads."""
        return f"{self.key} in {self.source}: {self.message}"


@dataclass(frozen=True, slots=True)
class Option:
    """One option as documentation and editors' schemas need it."""

    key: str
    """The full key, such as `rnj.completion.debounceMs`."""

    type: Any
    """The Python type without its annotations."""

    default: Any
    doc: str
    between: Between | None
    user_only: bool


def load(layers: Iterable[Layer]) -> tuple[Settings, list[Problem]]:
    """Return the defaults with every good value of the layers applied, and the bad ones named."""
    known = {option.key: option for option in options()}
    settings, problems = Settings(), list[Problem]()
    for layer in layers:
        for key, value in _flatten(layer.values, known):
            option = known.get(key)
            if option is None:
                problems.append(Problem(layer.source, key, _unknown(key, known)))
            elif option.user_only and not layer.trusted:
                message = "a project file may not set this; set it in your editor's settings"
                problems.append(Problem(layer.source, key, message))
            elif (checked := _check(option, value)) is _BAD:
                message = f"{value!r} is not {_expected(option)}; {option.default!r} is used"
                problems.append(Problem(layer.source, key, message))
            else:
                settings = _with(settings, key, checked)
    return settings, problems


def options() -> list[Option]:
    """Return every option in the order of this file, with the help text written beneath it."""
    return list(_options_of(Settings, "rnj"))


def _options_of(section: type[Any], prefix: str) -> Iterator[Option]:
    hints = get_type_hints(section, include_extras=True)
    docs = _field_docs()[section.__name__]
    values = section()
    for item in fields(section):
        key, hint = f"{prefix}.{_camel(item.name)}", hints[item.name]
        if is_dataclass(hint):
            assert isinstance(hint, type)
            yield from _options_of(hint, key)
            continue
        marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        yield Option(
            key=key,
            type=get_args(hint)[0] if marks else hint,
            default=getattr(values, item.name),
            doc=docs[item.name],
            between=next((mark for mark in marks if isinstance(mark, Between)), None),
            user_only=any(isinstance(mark, UserOnly) for mark in marks),
        )


def _field_docs() -> dict[str, dict[str, str]]:
    """Return class name to field name to the string written beneath the field."""
    module = ast.parse(inspect.getsource(sys.modules[__name__]))
    docs: dict[str, dict[str, str]] = {}
    for node in module.body:
        if not isinstance(node, ast.ClassDef):
            continue
        found = docs.setdefault(node.name, {})
        for item, following in zip(node.body, node.body[1:], strict=False):
            if not (isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)):
                continue
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                found[item.target.id] = str(following.value.value)
    return docs


def _flatten(
    values: Mapping[str, Any], known: Mapping[str, Option], prefix: str = "rnj"
) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        path = ".".join(_camel(part) for part in name.split("."))
        key = path if path == "rnj" or path.startswith("rnj.") else f"{prefix}.{path}"
        if isinstance(value, Mapping) and key not in known:
            yield from _flatten(value, known, key)
        elif value is not None:
            # Editors send null for a setting that the user has not touched.
            yield key, value


_BAD: Any = object()


def _check(option: Option, value: Any) -> Any:
    """Return the value in the option's type, or `_BAD`."""
    kind = option.type
    if kind is bool:
        return value if isinstance(value, bool) else _BAD
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _BAD
        if kind is int and value != int(value):
            return _BAD
        bounds = option.between
        if bounds is not None and not bounds.low <= value <= bounds.high:
            return _BAD
        return kind(value)
    if kind is str:
        return value if isinstance(value, str) else _BAD
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else _BAD
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return _BAD


def _expected(option: Option) -> str:
    kind = option.type
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(kind))
    if isinstance(kind, types.GenericAlias):
        return "a list of texts"
    name = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]
    bounds = option.between
    return name if bounds is None else f"{name} from {bounds.low:g} to {bounds.high:g}"


def _unknown(key: str, known: Mapping[str, Option]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return "there is no such setting" + (f"; did you mean {close[0]}?" if close else "")


def _with(settings: Settings, key: str, value: Any) -> Settings:
    names = [_snake(part) for part in key.split(".")[1:]]
    if len(names) == 1:
        return replace(settings, **{names[0]: value})
    section = getattr(settings, names[0])
    return replace(settings, **{names[0]: replace(section, **{names[1]: value})})


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)
