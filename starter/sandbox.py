"""Runs a program the model wrote, where it can do little harm."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
from functools import cache

SECONDS = 6
MEMORY = 1_000_000_000


def limit() -> None:
    """Small memory, little time, no files beyond a page, no crowd of processes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@cache
def without_network() -> list[str]:
    """The command that takes the network away, or nothing where the system does not allow it."""
    command = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare"):
        tried = subprocess.run([*command, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return command
    return []


def passes(program: str) -> bool:
    """Whether a Python program ends without an error within the limits."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [*without_network(), sys.executable, "-I", "-c", program],
                cwd=folder,
                env={"PATH": "/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
                preexec_fn=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0
