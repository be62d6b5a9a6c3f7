"""`rnj-lsp models`: list, download, choose and remove models."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from rnj_lsp.models import library
from rnj_lsp.models.catalog import known_models
from rnj_lsp.models.download import pull
from rnj_lsp.settings import HostSettings

_GIGABYTE = 1_000_000_000


def models(verb: str, name: str, as_json: bool) -> int:
    """Do one of `list`, `pull`, `use` and `remove`."""
    if verb == "pull":
        return _pull(name, as_json)
    if verb == "use":
        return _said(f"`auto` now means {library.use(name)}", as_json)
    if verb == "remove":
        return _said("\n".join(f"{path} was removed" for path in library.remove(name)), as_json)
    return _list(as_json)


def _list(as_json: bool) -> int:
    installed = {(item.model.name, item.file.quantisation) for item in library.installed()}
    chosen = library.chosen()
    context = HostSettings().context_tokens
    rows = [
        {
            "name": model.name if file is model.files[0] else f"{model.name}:{file.quantisation}",
            "title": model.title,
            "quantisation": file.quantisation,
            "size_bytes": file.size_bytes,
            "memory_bytes": model.memory_bytes(file, context),
            "licence": model.licence,
            "installed": (model.name, file.quantisation) in installed or not model.repository,
            "chosen": chosen in (model.name, f"{model.name}:{file.quantisation}"),
        }
        for model in known_models()
        for file in model.files
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("name", "file", "size", "memory", "licence", ""):
        table.add_column(title, no_wrap=True)
    for row in rows:
        state = "chosen" if row["chosen"] else "installed" if row["installed"] else ""
        table.add_row(
            str(row["name"]),
            str(row["quantisation"]),
            f"{int(str(row['size_bytes'])) / _GIGABYTE:.2f} GB",
            f"{int(str(row['memory_bytes'])) / _GIGABYTE:.1f} GB",
            str(row["licence"]),
            f"[green]{state}[/]",
        )
    console = Console()
    console.print(table)
    console.print(
        f"\nMemory is for weights and a KV cache of {context} tokens.\n"
        "Get one: rnj-lsp models pull NAME",
        highlight=False,
    )
    return 0


def _pull(name: str, as_json: bool) -> int:
    console = Console(stderr=as_json)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress("{task.description}", *columns, console=console) as progress:
        task = progress.add_task(escape(name), total=None)

        def on_progress(done_bytes: int, total_bytes: int) -> None:
            progress.update(task, completed=done_bytes, total=total_bytes or None)

        path = pull(name, on_progress)
    return _said(
        f"{path} is ready; `rnj-lsp models use {name}` makes it the choice of auto", as_json
    )


def _said(message: str, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"message": message}))
    else:
        Console(highlight=False).print(escape(message))
    return 0
