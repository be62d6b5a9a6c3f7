"""From the one string that says which model, to the model."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from rnj_lsp.models.catalog import KnownModel, family_of_name, known_model, known_models
from rnj_lsp.models.client import OpenAIModel, Patience
from rnj_lsp.models.endpoint import Address, Endpoint, FixedEndpoint
from rnj_lsp.models.library import chosen, find_installed, known
from rnj_lsp.models.model import Model, ModelInfo, ModelNotFound, OnState
from rnj_lsp.models.scripted import ScriptedModel, load_script
from rnj_lsp.models.wire import LOCAL_CHAT, LOCAL_COMPLETION, is_loopback, place
from rnj_lsp.settings import HostSettings

ASSUMED_CONTEXT_TOKENS = 8192
"""The window of a remote model until its endpoint tells."""


Kind = Literal["starter", "catalogue", "file", "endpoint", "provider", "scripted"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that a string means, before anything is started."""

    kind: Kind
    name: str
    """Of the model; empty: the first that the endpoint lists."""

    path: Path | None
    """The GGUF file or the script."""

    base_url: str
    api_key: str = field(repr=False)

    family: str
    """The catalogue's family, or `unknown`."""

    local: bool
    """True when code does not leave this machine."""

    why: str
    """A sentence that says how the string led here."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A place with a name of its own."""

    title: str
    base_url: str
    key: str
    """The environment variable with its key; empty where none is needed."""


def resolve(spec: str, environ: Mapping[str, str], folder: Path | None = None) -> Choice:
    """Return what `rnj.model` means: see `Settings.model`. Starts and sends nothing.

    `folder` is where relative paths begin; the current folder when it is None. Raises
    `ModelNotFound` with what to do.
    """
    spec = spec.strip()
    if spec in ("", "auto"):
        return _automatic(environ, folder)
    if re.match(r"https?://", spec, re.IGNORECASE):
        return _endpoint(spec, environ)
    if spec.lower().startswith("scripted:"):
        path = _path(spec.partition(":")[2], folder)
        return _choice("scripted", path.stem, path=path, why="a script answers instead of a model")
    if _looks_like_a_path(spec):
        return _file(_path(spec, folder))
    name, colon, rest = spec.partition(":")
    if known_model(name) is not None:
        return _catalogue(spec)
    if colon and name.lower() in providers():
        return _provider(name.lower(), rest, environ)
    if os.path.isfile(_path(spec, folder)):
        return _file(_path(spec, folder))
    raise ModelNotFound(_unknown(spec))


def open_model(
    spec: str,
    host_settings: HostSettings,
    on_state: OnState,
    environ: Mapping[str, str],
    folder: Path | None = None,
) -> Model:
    """Return the model that `spec` means; nothing is started or sent before it is asked."""
    choice = resolve(spec, environ, folder)
    if choice.kind == "scripted":
        assert choice.path is not None
        return ScriptedModel(load_script(choice.path), on_state)
    if choice.path is not None:
        return _local_model(choice, choice.path, host_settings, on_state)
    info = ModelInfo(
        name=choice.name,
        where=place(choice.base_url),
        family=choice.family,
        local=choice.local,
        fills=True,
        chats=True,
        context_tokens=ASSUMED_CONTEXT_TOKENS,
    )
    endpoint = FixedEndpoint(Address(choice.base_url, choice.api_key))
    patience = _LOCAL if choice.local else Patience()
    return OpenAIModel(endpoint, choice.name, info, on_state, patience=patience)


@cache
def providers() -> dict[str, Provider]:
    """Return the table of providers by name."""
    text = resources.files("rnj_lsp.models").joinpath("providers.toml").read_text("utf-8")
    return {name: Provider(**item) for name, item in tomllib.loads(text).items()}


_LOCAL = Patience(LOCAL_COMPLETION, LOCAL_CHAT)

_API_PATHS = re.compile(r"/(?:chat/completions|completions|models)/*$")
"""What people copy behind the version path of an address."""


def _local_model(
    choice: Choice, path: Path, host_settings: HostSettings, on_state: OnState
) -> Model:
    from rnj_lsp.models.host.launch import LocalEndpoint
    from rnj_lsp.models.host.record import HostSpec

    starter = choice.kind == "starter"
    info = ModelInfo(
        name=choice.name,
        where="this machine",
        family=choice.family,
        local=True,
        fills=True,
        chats=not starter,
        context_tokens=host_settings.context_tokens,
        starter=starter,
    )
    endpoint: Endpoint = LocalEndpoint(HostSpec(path, host_settings))
    return OpenAIModel(endpoint, "", info, on_state, patience=_LOCAL)


def _automatic(environ: Mapping[str, str], folder: Path | None) -> Choice:
    choice = chosen()
    gone = ""
    if choice is not None:
        try:
            return replace(
                resolve(choice, environ, folder), why="you chose it by rnj-lsp models use"
            )
        except ModelNotFound as error:
            gone = f" (the chosen model is gone: {error})"
    for model in known_models():
        if model.family == "rnj-1" and (found := find_installed(model.name)) is not None:
            why = f"it is the downloaded Rnj-1{gone}"
            return replace(_downloaded(found.model, found.path), why=why)
    why = (
        f"no other model is downloaded; rnj-lsp models pull rnj-1-instruct gets the real one{gone}"
    )
    return replace(_starter(), why=why)


def _catalogue(spec: str) -> Choice:
    model, _ = known(spec)
    if not model.repository:
        return _starter()
    found = find_installed(spec)
    if found is None:
        raise ModelNotFound(f"{spec} is not downloaded; run rnj-lsp models pull {spec}")
    return _downloaded(found.model, found.path)


def _downloaded(model: KnownModel, path: Path) -> Choice:
    why = "it is named in the settings"
    return _choice("catalogue", model.name, path=path, family=model.family, why=why)


def _starter() -> Choice:
    from rnj_lsp.models.host.starter import starter_path

    why = "it is named in the settings"
    return _choice("starter", "starter", path=starter_path(), family="starter", why=why)


def _file(path: Path) -> Choice:
    # Unlike `Path.is_file`, this does not raise on a text that no file can be called.
    if not os.path.isfile(path):
        raise ModelNotFound(f"there is no model file {path}")
    return _choice("file", path.stem, path=path, why="it is the file named in the settings")


def _endpoint(spec: str, environ: Mapping[str, str]) -> Choice:
    address, _, name = spec.partition("#")
    base_url = _base_url(address)
    host = urlsplit(base_url).hostname
    known_places = [
        item for item in providers().values() if urlsplit(item.base_url).hostname == host
    ]
    key = next((item.key for item in known_places if item.key), "")
    return _remote(
        "endpoint", base_url, name.strip(), key, environ, "the settings name its address"
    )


def _provider(name: str, model: str, environ: Mapping[str, str]) -> Choice:
    provider = providers()[name]
    why = f"the settings name a model at {provider.title}"
    return _remote("provider", provider.base_url, model.strip(), provider.key, environ, why)


def _remote(
    kind: Kind,
    base_url: str,
    name: str,
    key: str,
    environ: Mapping[str, str],
    why: str,
) -> Choice:
    local = is_loopback(base_url)
    if not local:
        way = "" if base_url.startswith("https:") else ", unencrypted"
        why = f"{why}; your code is sent to {place(base_url)}{way}"
    api_key = environ.get("RNJ_API_KEY") or (environ.get(key) if key else None) or ""
    found = family_of_name(name)
    return _choice(
        kind,
        name,
        base_url=base_url,
        api_key=api_key.strip(),
        family=found.name if found is not None else "unknown",
        local=local,
        why=why,
    )


def _base_url(address: str) -> str:
    """Return the address with its version path and without anything behind it."""
    address = _API_PATHS.sub("", address.strip()).rstrip("/")
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise ModelNotFound(
            f"{address} is not an address; write it like http://127.0.0.1:8000/v1#model"
        )
    return address if parts.path else f"{address}/v1"


def _looks_like_a_path(spec: str) -> bool:
    if re.match(r"[A-Za-z]:[\\/]", spec):
        return True
    return spec.lower().endswith(".gguf") or spec.startswith(("/", "~", "./", "../", ".\\", "..\\"))


def _path(text: str, folder: Path | None) -> Path:
    path = Path(os.path.expanduser(text.strip()))
    return path if folder is None else folder / path


def _unknown(spec: str) -> str:
    names = [model.name for model in known_models()]
    name, colon, _ = spec.partition(":")
    if colon:
        return f"there is no provider {name}; rnj-lsp knows {', '.join(providers())}"
    close = difflib.get_close_matches(spec.lower(), names, n=1)
    if close:
        return f"there is no model {spec}; did you mean {close[0]}?"
    return (
        f"there is no model {spec}; name one of {', '.join(names)}, a GGUF file, "
        "an address like http://127.0.0.1:8000/v1#model, or provider:model"
    )


def _choice(
    kind: Kind,
    name: str,
    *,
    path: Path | None = None,
    base_url: str = "",
    api_key: str = "",
    family: str = "unknown",
    local: bool = True,
    why: str,
) -> Choice:
    return Choice(kind, name, path, base_url, api_key, family, local, why)
