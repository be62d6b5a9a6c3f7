"""`rnj-lsp why`: what became of the latest requests."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rnj_lsp.completion.journal import saved_entries
from rnj_lsp.models.folders import cache_folder

_SHOWN = 20


def why(file: str | None, as_json: bool) -> int:
    """Print the latest requests, newest first, each with its end and its reason."""
    name = Path(file).as_posix() if file else None
    found = [
        entry
        for entry in saved_entries(cache_folder())
        if name is None or entry.file == name or name.endswith("/" + entry.file)
    ][:_SHOWN]
    if as_json:
        print(json.dumps([asdict(entry) for entry in found], indent=2))
        return 0
    console = Console()
    if not found:
        console.print("No request is known yet. Type in your editor, then ask again.")
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("when", "where", "", "why", "ms", "prompt"):
        table.add_column(title, overflow="fold")
    for entry in found:
        table.add_row(
            time.strftime("%H:%M:%S", time.localtime(entry.time)),
            f"{entry.file}:{entry.line}:{entry.column}",
            "[green]shown[/]" if entry.shown else "[yellow]none[/]",
            entry.explanation,
            f"{entry.total_ms:.0f}",
            f"{entry.prompt_tokens} ({entry.cached_tokens} cached)"
            if entry.prompt_tokens >= 0
            else "",
        )
    console.print(table)
    return 0
