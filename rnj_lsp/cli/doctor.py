"""`rnj-lsp doctor`: what is installed, what will be used, and what to do about the rest."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil
from rich.console import Console
from rich.markup import escape

from rnj_lsp import __version__
from rnj_lsp.cli.main import COULD_NOT
from rnj_lsp.lsp.configuration import configured, model_option
from rnj_lsp.models.catalog import known_model
from rnj_lsp.models.host.launch import running_hosts
from rnj_lsp.models.host.probe import probe_result
from rnj_lsp.models.model import ModelError
from rnj_lsp.models.select import Choice, resolve
from rnj_lsp.settings import HostSettings, Settings
from rnj_lsp.source.grammars import load_grammar
from rnj_lsp.source.languages import languages

_GIBIBYTE = 1 << 30
_PACKAGES = ("llama-cpp-python", "pygls", "lsprotocol", "openai", "tree-sitter", "huggingface-hub")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: Literal["good", "note", "bad"]
    """`note` is good to know; `bad` keeps completion from working."""

    text: str
    advice: str = ""
    """What to do."""


def doctor(model: str | None, as_json: bool) -> int:
    """Print every finding; exit status 1 when something keeps completion from working."""
    settings, problems = configured(Path.cwd(), command_line=model_option(model))
    findings = [
        Finding("settings", "bad", str(problem), "correct it; until then the default holds")
        for problem in problems
    ]
    for look in _LOOKS:
        findings += look(settings)
    broken = any(finding.state == "bad" for finding in findings)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    return COULD_NOT if broken else 0


def _print(findings: list[Finding]) -> None:
    console = Console(highlight=False)
    marks = {"good": "[green]✓[/]", "note": "[yellow]•[/]", "bad": "[red]✗[/]"}
    for finding in findings:
        console.print(f"{marks[finding.state]} [bold]{finding.subject}[/] {escape(finding.text)}")
        if finding.advice:
            console.print(f"    → {escape(finding.advice)}")


def _versions(_: Settings) -> list[Finding]:
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    found = [Finding("rnj-lsp", "good", f"{__version__}, {python}, {sys.executable}")]
    for name in _PACKAGES:
        try:
            found.append(Finding(name, "good", version(name)))
        except PackageNotFoundError:
            advice = f"run: {sys.executable} -m pip install {name}"
            found.append(Finding(name, "bad", "is not installed", advice))
    return found


def _grammars(_: Settings) -> list[Finding]:
    wanted = [language for language in languages().values() if language.grammar]
    missing = [
        language.name
        for language in wanted
        if language.grammar and load_grammar(language.grammar) is None
    ]
    if not missing:
        return [Finding("grammars", "good", f"{len(wanted)} languages are parsed")]
    text = f"these cannot be parsed and are completed without syntax: {', '.join(missing)}"
    return [Finding("grammars", "note", text, "install rnj-lsp again")]


def _model(settings: Settings) -> list[Finding]:
    spec = settings.completion.model or settings.model
    try:
        choice = resolve(spec, os.environ)
    except ModelError as error:
        return [Finding("model", "bad", str(error))]
    found = [Finding("model", "good", f"{choice.name}: {choice.why}")]
    if choice.kind in ("starter", "catalogue", "file"):
        found += _local_model(choice, settings.host)
    elif not choice.local:
        found.append(Finding("privacy", "note", f"code is sent to {choice.base_url}"))
    return found


def _local_model(choice: Choice, host: HostSettings) -> list[Finding]:
    path = choice.path
    assert path is not None
    if not path.is_file():
        return [Finding("model file", "bad", f"{path} is missing", "rnj-lsp models list")]
    size = path.stat().st_size
    found = [Finding("model file", "good", f"{path} ({size / 1e6:.0f} MB)")]
    known = known_model(choice.name)
    cache = known.kv_bytes_per_token * host.context_tokens if known else 0
    need, free = int(1.1 * (size + cache)), psutil.virtual_memory().available
    text = f"needs about {need / _GIBIBYTE:.1f} GiB, {free / _GIBIBYTE:.1f} GiB are free"
    if need > free:
        advice = "close other programs, or set rnj.host.contextTokens lower"
        found.append(Finding("memory", "note", text, advice))
    else:
        found.append(Finding("memory", "good", text))
    try:
        probed = probe_result(path)
    except ModelError as error:
        return [*found, Finding("model file", "bad", str(error), "rnj-lsp models list")]
    if probed is None:
        found.append(
            Finding("safe mode", "note", "not known yet: tried when the model first starts")
        )
    elif probed.extra_buffers:
        found.append(Finding("safe mode", "good", f"off: {probed.reason}"))
    else:
        found.append(Finding("safe mode", "note", f"on: {probed.reason}"))
    if choice.name == "starter":
        found.append(
            Finding(
                "quality",
                "note",
                "the small bundled model completes simple lines only",
                "for the real Rnj-1 (about 4.8 GB): rnj-lsp models pull rnj-1-instruct",
            )
        )
    return found


def _hosts(_: Settings) -> list[Finding]:
    records = running_hosts()
    if not records:
        return [Finding("host", "good", "none is running; one starts with the first request")]
    return [
        Finding(
            "host",
            "good",
            f"{Path(record.model).name}, process {record.pid}, {_memory(record.pid)}",
        )
        for record in records
    ]


def _memory(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).memory_info().rss / _GIBIBYTE:.2f} GiB"
    except psutil.Error:
        return "gone meanwhile"


_LOOKS: tuple[Callable[[Settings], list[Finding]], ...] = (_versions, _grammars, _model, _hosts)
