"""Imports point one way, and third-party packages stay in their rooms."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rnj_lsp

PACKAGE = Path(rnj_lsp.__file__).parent

ALLOWED: dict[str, set[str]] = {
    "settings": set(),
    "source": {"settings"},
    "models": {"settings"},
    "models.host": {"models", "settings"},
    "completion": {"models", "source", "settings"},
    "lsp": {"completion", "models", "source", "settings"},
    "bench": {"lsp", "completion", "models", "models.host", "source", "settings"},
    "cli": {"bench", "lsp", "completion", "models", "models.host", "source", "settings"},
}
"""Room to the rooms it may import; every room may import itself and the version."""

SPECIFIC: dict[tuple[str, str], str] = {
    ("models/select.py", "models.host"): "a local choice becomes a host's endpoint",
}
"""Single modules that may do more, each with its reason."""

PINNED: dict[str, set[str]] = {
    "filelock": {"models.host", "models"},
    "httpx2": {"models"},
    "huggingface_hub": {"models"},
    "jinja2": {"models.host"},
    "llama_cpp": {"models.host"},
    "lsprotocol": {"lsp"},
    "numpy": {"models.host"},
    "openai": {"models"},
    "pathspec": {"completion"},
    "platformdirs": {"models"},
    "psutil": {"bench", "cli", "lsp", "models.host"},
    "pygls": {"lsp"},
    "rich": {"bench", "cli"},
    "starlette": {"models.host"},
    "tree_sitter": {"source"},
    "uvicorn": {"models.host"},
}
"""Third-party package to the rooms that may import it."""


def room_of(module: str) -> str:
    """Return the room of a dotted name below the package: `models.host.engine` is `models.host`."""
    parts = module.split(".")
    if parts[:2] == ["models", "host"]:
        return "models.host"
    return parts[0]


def imported(source: str) -> Iterator[str]:
    """Return the dotted names that a module imports, also inside its functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room"
            assert node.module is not None
            yield node.module
            if node.module in ("rnj_lsp", "rnj_lsp.models"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(file: str, source: str) -> list[str]:
    """Return what a module imports against the rules; `file` is its path below the package."""
    room = room_of(file.removesuffix(".py").replace("/", "."))
    found = []
    for name in imported(source):
        top, _, rest = name.partition(".")
        if top == "rnj_lsp":
            other = room_of(rest)
            known = other in ALLOWED and other != room
            if known and other not in ALLOWED[room] and (file, other) not in SPECIFIC:
                found.append(f"{file}: room {room} may not import room {other}")
        elif top not in sys.stdlib_module_names and room not in PINNED.get(top, set()):
            found.append(f"{file}: room {room} may not import {top}")
    return found


def test_every_module_keeps_to_its_room() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE).as_posix()
        if file not in ("__init__.py", "__main__.py"):
            found += violations(file, path.read_text(encoding="utf-8"))
    assert found == []


def test_every_module_lies_in_a_room() -> None:
    rooms = {
        room_of(path.relative_to(PACKAGE).as_posix().removesuffix(".py").replace("/", "."))
        for path in PACKAGE.rglob("*.py")
    }
    assert rooms - {"__init__", "__main__"} <= set(ALLOWED)


@pytest.mark.parametrize(
    ("file", "planted"),
    [
        ("source/document.py", "from rnj_lsp.models.model import Model"),
        ("models/client.py", "def f():\n    from rnj_lsp.source.document import Document"),
        ("completion/session.py", "import pygls"),
        ("completion/session.py", "from rnj_lsp.models.host.engine import Engine"),
        ("models/client.py", "from rnj_lsp.models import host"),
        ("lsp/server.py", "import llama_cpp"),
        ("settings.py", "import rnj_lsp.source.document"),
    ],
)
def test_a_planted_violation_is_found(file: str, planted: str) -> None:
    assert violations(file, planted) != []


def test_nothing_heavy_is_imported_before_initialize() -> None:
    import subprocess

    heavy = ["openai", "llama_cpp", "starlette", "uvicorn", "huggingface_hub"]
    code = (
        "import sys; from rnj_lsp.cli.serve import serve; import rnj_lsp.lsp.handlers; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
