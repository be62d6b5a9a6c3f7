"""The model host's processes: `run`, `probe` and `inspect`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from rnj_lsp.models.host.record import HostSpec
from rnj_lsp.models.model import ModelError
from rnj_lsp.settings import HostSettings


def main(arguments: list[str]) -> int:
    """Do what the command line says and return the exit code."""
    # Waiting threads that spin take the processor from a compiler that runs beside the model,
    # and then from the model's own other threads: 22 against 646 tokens a second were seen.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    asked = _parser().parse_args(arguments)
    logging.basicConfig(
        level=asked.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        if asked.command == "run":
            return _run(asked)
        if asked.command == "probe":
            return _probe(asked.model, not asked.safe)
        return _inspect(asked.model)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1


def _run(asked: argparse.Namespace) -> int:
    from rnj_lsp.models.host.run import run_host

    settings = HostSettings(
        idle_minutes=asked.idle_minutes,
        threads=asked.threads,
        context_tokens=asked.context_tokens,
        kv_type=asked.kv_type,
        gpu_layers=asked.gpu_layers,
    )
    return run_host(HostSpec(asked.model, settings))


def _probe(model: Path, extra_buffers: bool) -> int:
    from rnj_lsp.models.host.probe import run_probe

    run_probe(model, extra_buffers)
    return 0


def _inspect(model: Path) -> int:
    from rnj_lsp.models.host.loading import inspect

    facts = inspect(model)
    shown = {
        "architecture": facts.architecture,
        "name": facts.title,
        "size_bytes": facts.size_bytes,
        "context_tokens": facts.context_tokens,
        "family": facts.family.name,
        "fills": facts.fills,
        "reason": facts.reason,
        "chat_template": bool(facts.chat_template),
    }
    print(json.dumps(shown, indent=2, ensure_ascii=False))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rnj_lsp.models.host", description=__doc__)
    levels = ("debug", "info", "warning", "error")
    parser.add_argument("--log-level", choices=levels, default="info")
    commands = parser.add_subparsers(dest="command", required=True)
    usual = HostSettings()
    run = commands.add_parser("run", help="be the host of a model until idle")
    run.add_argument("model", type=Path)
    run.add_argument("--threads", type=int, default=usual.threads)
    run.add_argument("--context-tokens", type=int, default=usual.context_tokens)
    run.add_argument("--kv-type", choices=("f16", "q8_0"), default=usual.kv_type)
    run.add_argument("--gpu-layers", type=int, default=usual.gpu_layers)
    run.add_argument("--idle-minutes", type=float, default=usual.idle_minutes)
    probe = commands.add_parser("probe", help="try the fast setting, and die of it or not")
    probe.add_argument("model", type=Path)
    probe.add_argument("--safe", action="store_true", help="try the safe setting instead")
    inspect = commands.add_parser("inspect", help="say what a model file is, as JSON")
    inspect.add_argument("model", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
