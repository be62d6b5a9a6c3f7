"""Which setting is safe on this processor: the fast one, or the one that cannot crash.

llama.cpp repacks weights for the processor. On some processors, among them some that announce
AMX, the repacked weights end the process with a segmentation fault. So the fast setting is
tried once in a process of its own, and what happened is remembered for the machine, the version
of llama-cpp-python and the type of the weights.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from rnj_lsp.models.folders import cache_folder
from rnj_lsp.models.host.header import weight_type
from rnj_lsp.models.model import HostFailed

_logger = logging.getLogger(__name__)
_FORCE = "RNJ_HOST_EXTRA_BUFFERS"
_CRASH = "RNJ_PROBE_CRASH"
"""For tests: the trial of the fast setting (with `always`, of both) dies as on a processor where
it crashes."""

_STALL_S = 120.0
"""The probe is given up when its progress stands still for so long."""

_WINDOWS_CRASHES = range(0xC0000000, 0x100000000)
"""NTSTATUS errors, such as 0xC0000005 for an access violation."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Whether weights may be repacked on this machine."""

    extra_buffers: bool
    """False is the safe mode."""

    reason: str
    """A sentence for the user."""


def llama_cpp_version() -> str:
    """Return the version of llama-cpp-python, without importing it."""
    return metadata.version("llama-cpp-python")


def forced_setting() -> ProbeResult | None:
    """Return what the environment variable RNJ_HOST_EXTRA_BUFFERS demands: on, off, or nothing."""
    value = os.environ.get(_FORCE, "auto").lower()
    if value not in ("on", "off"):
        return None
    return ProbeResult(value == "on", f"{_FORCE} is {value}")


def probe_result(model: Path) -> ProbeResult | None:
    """Return what is known of the fast setting for this model; None: it was never tried.

    Raises `ModelNotFound` or `HostFailed` where the model's file cannot be read.
    """
    return forced_setting() or _remembered(_file_for(model))


async def fast_setting(model: Path, on_progress: Callable[[int], None]) -> ProbeResult:
    """Return whether the fast setting works, after trying it where that is not known.

    Only a success is remembered, and a crash that the safe setting does not have as well. A
    process that was killed, or one that stands still, says nothing about the processor: the safe
    setting is used this once. Raises `HostFailed` where the model crashes llama.cpp anyway.
    """
    file = _file_for(model)
    result = forced_setting() or _remembered(file)
    if result is not None:
        return result
    code = await _try(model, True, on_progress)
    if code == 0:
        return _remember(file, ProbeResult(True, "the fast setting was tried and works"))
    if not _is_crash(code):
        reason = f"the trial of the fast setting ended without a result ({_death(code)})"
        _logger.warning("%s; the safe setting is used this time", reason)
        return ProbeResult(False, reason)
    if _is_crash(await _try(model, False, on_progress)):
        raise HostFailed(f"{model} crashes llama.cpp ({_death(code)}); download it again")
    reason = f"the fast setting crashed llama.cpp on this processor ({_death(code)})"
    _logger.warning("%s; the safe setting is used from now on", reason)
    return _remember(file, ProbeResult(False, reason))


def run_probe(model: Path, extra_buffers: bool) -> None:
    """Load the model with one of the settings and use it; the body of the throw-away process."""
    from rnj_lsp.models.host.engine import Abort, Engine, Generation
    from rnj_lsp.models.host.loading import EngineOptions

    _die_quietly()
    if os.environ.get(_CRASH) == "always" or (os.environ.get(_CRASH) and extra_buffers):
        os.kill(os.getpid(), signal.SIGSEGV)
    options = EngineOptions(context_tokens=512, extra_buffers=extra_buffers)
    engine = Engine.open(model, options, _print_progress)
    word = engine.vocabulary.tokenize("x = 1\n", special=False)
    prompt = (word * 300)[: 2 * options.micro_batch + 44]
    for _ in engine.generate(prompt, Generation(max_tokens=8), Abort()):
        pass
    engine.close()


async def _try(model: Path, extra_buffers: bool, on_progress: Callable[[int], None]) -> int | None:
    """Return the exit code of a probe; None: it stood still and was ended."""
    # -P keeps a package in the current folder from being imported in place of the real one.
    command = [sys.executable, "-P", "-m", "rnj_lsp.models.host", "probe", str(model)]
    command += [] if extra_buffers else ["--safe"]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        while line := await asyncio.wait_for(process.stdout.readline(), _STALL_S):
            if line.strip().isdigit():
                on_progress(int(line))
        return await asyncio.wait_for(process.wait(), _STALL_S)
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _print_progress(percent: int) -> bool:
    print(percent, flush=True)
    return True


def _die_quietly() -> None:
    """Leave neither a core file of the model's size nor a dialogue on the screen."""
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetErrorMode(0x0001 | 0x0002)
    else:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _is_crash(code: int | None) -> bool:
    if code is None:
        return False
    crashes = {
        getattr(signal, name, None) for name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
    }
    return -code in crashes or code in _WINDOWS_CRASHES


def _death(code: int | None) -> str:
    if code is None:
        return "it stood still"
    if code < 0:
        return signal.Signals(-code).name
    return f"exit code {code:#x}" if code in _WINDOWS_CRASHES else f"exit code {code}"


def _file_for(model: Path) -> Path:
    key = f"{_processor()}|{llama_cpp_version()}|{weight_type(model)}"
    return cache_folder() / f"probe-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def _processor() -> str:
    """Return a text that differs where the processor's instructions do."""
    described = [platform.machine(), platform.processor()]
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            wanted = ("model name", "flags", "Features", "CPU part")
            # Processors of one machine have the same lines.
            described += sorted({line.strip() for line in lines if line.startswith(wanted)})
    except OSError:
        pass
    return "|".join(described)


def _remembered(file: Path) -> ProbeResult | None:
    try:
        value = json.loads(file.read_text("utf-8"))
        return ProbeResult(bool(value["extra_buffers"]), str(value["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(file: Path, result: ProbeResult) -> ProbeResult:
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=file.parent, prefix=file.stem, delete=False
        ) as temporary:
            json.dump(asdict(result), temporary)
        os.replace(temporary.name, file)
    except OSError as error:
        _logger.warning("the trial's result cannot be kept in %s: %s", file, error)
    return result
