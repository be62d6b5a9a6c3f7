"""A running server and a bare client, as an editor and its language server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rnj_lsp.bench.client import CAPABILITIES, LspClient


def script(folder: Path, *answers: Mapping[str, Any], **values: Any) -> str:
    """Write a script for the scripted model; return what `rnj.model` is for it."""
    file = folder / "script.json"
    file.write_text(json.dumps({"completion": answers, **values}), encoding="utf-8")
    return f"scripted:{file}"


@asynccontextmanager
async def editor(
    folder: Path,
    *,
    model: str,
    settings: Mapping[str, Any] | None = None,
    capabilities: Mapping[str, Any] = CAPABILITIES,
    environ: Mapping[str, str] | None = None,
    options: Any = None,
    folders: Sequence[Path] | None = None,
    refuses: bool = False,
) -> AsyncIterator[LspClient]:
    """Start a server on a folder and do the handshake; it is ended, whatever happens."""
    client = await LspClient.start(
        settings=settings, environ={"RNJ_MODEL": model, **(environ or {})}, folder=folder
    )
    client.refuses = refuses
    try:
        roots = [folder] if folders is None else folders
        await client.initialize(*roots, capabilities=capabilities, options=options)
        yield client
    finally:
        await client.kill()
