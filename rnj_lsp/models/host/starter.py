"""The small model that comes with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from rnj_lsp.models.model import ModelNotFound


def starter_path() -> Path:
    """Return the bundled model's file; raises `ModelNotFound` where it is missing."""
    path = _path()
    if not path.is_file():
        raise ModelNotFound(
            f"the bundled model {path} is missing; install rnj-lsp again, or set rnj.model"
        )
    return path


def is_starter(model: Path) -> bool:
    """Return whether this file is the bundled model."""
    return model.resolve() == _path().resolve()


def _path() -> Path:
    return Path(str(resources.files("rnj_lsp.models.host"))) / "starter.gguf"
