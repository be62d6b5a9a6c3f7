"""`rnj-lsp host`: the process that runs a local model."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from rnj_lsp.cli.serve import open_later
from rnj_lsp.lsp.configuration import configured, model_option
from rnj_lsp.models.host.launch import HostRecord, running_hosts, stop_host
from rnj_lsp.models.model import ModelState


def host(verb: str, model: str | None, as_json: bool) -> int:
    """Start a host and wait until it is ready, show the running hosts, or stop them."""
    if verb == "run":
        return asyncio.run(_run(model))
    records = running_hosts()
    if verb == "stop":
        for record in records:
            stop_host(record)
    if as_json:
        print(json.dumps([_shown(record) for record in records], indent=2))
        return 0
    console = Console(highlight=False)
    if not records:
        console.print("No model host is running.")
    for record in records:
        done = "stopped" if verb == "stop" else f"process {record.pid}, port {record.port}"
        console.print(f"{escape(Path(record.model).name)}: {done}")
    return 0


async def _run(model: str | None) -> int:
    console = Console(highlight=False)
    settings, _ = configured(Path.cwd(), command_line=model_option(model))

    def on_state(state: ModelState) -> None:
        percent = f" {state.percent} %" if state.percent is not None else ""
        console.print(escape(f"{state.kind}{percent}: {state.message}"))

    opened = open_later(settings.model, settings.host, on_state)
    await opened.ready()
    if not opened.info.local:
        console.print("This model is remote: it needs no host here.")
    await opened.close()
    return 0


def _shown(record: HostRecord) -> dict[str, object]:
    """Return what may be printed: everything but the secret token."""
    shown = asdict(record)
    shown.pop("token", None)
    return {name: str(value) if isinstance(value, Path) else value for name, value in shown.items()}
