"""The user's folders for rnj-lsp, on Linux, macOS and Windows.

`RNJ_HOME` moves all of them below one folder, for tests and for portable installations.
Each function raises `HostFailed` where the folder cannot be made or is not the user's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import platformdirs

from rnj_lsp.models.model import HostFailed


def data_folder() -> Path:
    """Return where downloaded models and the choice among them are kept; made when missing."""
    return _made("data", platformdirs.user_data_path("rnj-lsp"))


def cache_folder() -> Path:
    """Return where things are kept that can be found out again; made when missing."""
    return _made("cache", platformdirs.user_cache_path("rnj-lsp"))


def runtime_folder() -> Path:
    """Return where running hosts leave their address and token, for this user's eyes only."""
    usual = platformdirs.user_cache_path("rnj-lsp") / "run"
    if os.environ.get("XDG_RUNTIME_DIR") or sys.platform in ("win32", "darwin"):
        usual = platformdirs.user_runtime_path("rnj-lsp")
    folder = _made("run", usual)
    if os.name == "posix":
        # A folder of another user's could hold a planted host file.
        if folder.stat().st_uid != os.getuid():
            raise HostFailed(f"{folder} belongs to another user; remove it or set RNJ_HOME")
        folder.chmod(0o700)
    return folder


def _made(name: str, usual: Path) -> Path:
    home = os.environ.get("RNJ_HOME")
    folder = Path(home) / name if home else usual
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise HostFailed(
            f"{folder} cannot be made ({error.strerror}); set RNJ_HOME to a folder of yours"
        ) from error
    return folder
