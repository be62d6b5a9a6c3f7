"""`rnj-lsp complete` and `rnj-lsp try`: completion in the terminal."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.text import Text

import rnj_lsp
from rnj_lsp.cli.main import COULD_NOT, CommandError
from rnj_lsp.cli.serve import open_later
from rnj_lsp.completion.session import Session
from rnj_lsp.completion.suggestion import Outcome, Place, Trigger
from rnj_lsp.lsp.configuration import configured, model_option
from rnj_lsp.models.model import Model, ModelState
from rnj_lsp.settings import Settings
from rnj_lsp.source.document import Document, Position, PositionEncoding
from rnj_lsp.source.languages import language_of_path

_CONTEXT_LINES = 4
"""Lines shown above a completion."""


def complete(where: str, model: str | None, as_json: bool) -> int:
    """Complete at FILE:LINE:COL and print the suggestion; exit status 1 when there is none."""
    path, line, column = _parsed(where)
    document = _document(path)
    offset = document.offset_at(Position(line - 1, column - 1), PositionEncoding.UTF32)
    settings = _settings(model)
    place = Place.of(document, offset, Path.cwd())
    outcome, name = asyncio.run(_complete_one(place, settings))
    if as_json:
        print(json.dumps(_as_json(outcome, name), indent=2))
    else:
        _print(Console(highlight=False), place, outcome, name)
    return 0 if outcome.suggestion else COULD_NOT


@dataclass(frozen=True, slots=True)
class Hole:
    """A place in a real file whose text was taken out."""

    document: Document
    """Without the text."""

    offset: int
    removed: str


def try_holes(places: Sequence[str], model: str | None) -> int:
    """Take the rest of a line out of real files, complete there, and show both."""
    holes = [_hole(*_parsed(place)) for place in places] or default_holes()
    return asyncio.run(_try(holes, _settings(model)))


_DEFAULT_HOLES = (
    ("models/host/bodies.py", "        show_special="),
    ("models/host/chat.py", "ids: list[int] ="),
    ("models/host/service.py", "    async def close(self) ->"),
)
"""Files of this package, which no model was trained on, and where their holes begin."""


def default_holes() -> list[Hole]:
    """Return the holes that `rnj-lsp try` shows when none is named."""
    package, holes = Path(rnj_lsp.__file__).parent, []
    for name, before in _DEFAULT_HOLES:
        text = (package / name).read_text(encoding="utf-8")
        lines = text[: text.index(before) + len(before)].split("\n")
        holes.append(_hole(package / name, len(lines), len(lines[-1]) + 1))
    return holes


async def _try(holes: Sequence[Hole], settings: Settings) -> int:
    console = Console(highlight=False)
    opened = await _ready(settings)
    session, given = Session(opened), 0
    try:
        for hole in holes:
            place = Place.of(hole.document, hole.offset, Path.cwd())
            outcome = await session.suggest(place, Trigger.INVOKED, settings.completion)
            _print(console, place, outcome, opened.info.name)
            if outcome.suggestion is not None and outcome.suggestion.text == hole.removed:
                console.print("  [green]exactly what was there[/]")
            else:
                console.print(f"  [dim]was there:[/] {escape(hole.removed.strip())}")
            given += outcome.suggestion is not None
    finally:
        await session.close()
        await opened.close()
    return 0 if given else COULD_NOT


async def _complete_one(place: Place, settings: Settings) -> tuple[Outcome, str]:
    opened = await _ready(settings)
    session = Session(opened)
    try:
        outcome = await session.suggest(place, Trigger.INVOKED, settings.completion)
        return outcome, opened.info.name
    finally:
        await session.close()
        await opened.close()


async def _ready(settings: Settings) -> Model:
    """Open the completion model and wait for it, with its progress on standard error."""
    with Console(stderr=True, highlight=False).status("") as shown:

        def on_state(state: ModelState) -> None:
            percent = f" {state.percent} %" if state.percent is not None else ""
            shown.update(escape(f"{state.message or state.kind}{percent}"))

        spec = settings.completion.model or settings.model
        opened = open_later(spec, settings.host, on_state)
        await opened.ready()
    return opened


def _parsed(place: str) -> tuple[Path, int, int]:
    match = re.fullmatch(r"(.+?):(\d+)(?::(\d+))?", place)
    if match is None:
        raise CommandError(f"{place} is no FILE:LINE:COL, such as src/app.py:12:5")
    return Path(match[1]), int(match[2]), int(match[3] or 1)


def _document(path: Path) -> Document:
    try:
        # Python's newline translation would change the user's line endings.
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not UTF-8 text (byte {error.start})") from error
    full = path.resolve()
    return Document(full.as_uri(), str(full), language_of_path(str(full)).id, 0, text)


def _hole(path: Path, line: int, column: int) -> Hole:
    document = _document(path)
    offset = document.offset_at(Position(line - 1, column - 1), PositionEncoding.UTF32)
    end = document.line_span(document.line_of(offset)).end
    text = document.text[:offset] + document.text[end:]
    return Hole(document.with_text(text, 0), offset, document.text[offset:end])


def _settings(model: str | None) -> Settings:
    settings, problems = configured(Path.cwd(), command_line=model_option(model))
    for problem in problems:
        Console(stderr=True, highlight=False).print(f"[yellow]{escape(str(problem))}[/]")
    return settings


def _print(console: Console, place: Place, outcome: Outcome, model: str) -> None:
    """Print the lines above the cursor, the cursor's line with the suggestion, and the timing."""
    document, offset = place.document, place.offset
    line = document.line_of(offset)
    shown = Text(f"\n{place.name}:{line + 1}", "bold")
    shown.append(f" ({model})\n", "not bold dim")
    for above in range(max(0, line - _CONTEXT_LINES), line):
        shown.append(f"  {above + 1:5} ", "not bold dim")
        shown.append(document.line_text(above) + "\n", "not bold")
    span = document.line_span(line)
    shown.append(f"  {line + 1:5} ", "not bold dim")
    shown.append(document.text[span.start : offset], "not bold")
    text = outcome.suggestion.text if outcome.suggestion else ""
    shown.append("\n        ".join(text.splitlines()), "green")
    shown.append(document.text[offset : span.end], "not bold")
    console.print(shown, soft_wrap=True)
    if outcome.suggestion is None:
        console.print(Text(f"  no suggestion: {outcome.explanation}", "yellow"))
    console.print(Text(f"  {_timing(outcome)}", "dim"))


def _timing(outcome: Outcome) -> str:
    usage = outcome.usage
    parts = [f"{outcome.total_ms:.0f} ms"]
    if outcome.first_text_ms is not None:
        parts.append(f"first text after {outcome.first_text_ms:.0f} ms")
    if usage.prompt_tokens >= 0:
        parts.append(f"{usage.prompt_tokens} prompt tokens, {max(0, usage.cached_tokens)} cached")
    if usage.completion_tokens >= 0:
        parts.append(f"{usage.completion_tokens} tokens written")
    return " · ".join(parts)


def _as_json(outcome: Outcome, model: str) -> dict[str, object]:
    return {
        "text": outcome.suggestion.text if outcome.suggestion else None,
        "reason": outcome.explanation if outcome.suggestion is None else None,
        "model": model,
        "totalMs": round(outcome.total_ms, 1),
        "firstTextMs": outcome.first_text_ms and round(outcome.first_text_ms, 1),
        "usage": asdict(outcome.usage),
    }
