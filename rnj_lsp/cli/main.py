"""The command line of `rnj-lsp`: which command, with which arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from rnj_lsp import __version__
from rnj_lsp.models.model import ModelError

COULD_NOT = 1
"""Exit status of a command that was understood and could not be done."""


class CommandError(Exception):
    """What a command could not do; its text is the sentence the user reads."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `rnj-lsp` and return its exit status: 0 done, 1 could not, 2 not understood."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given == ["--stdio"]:
        # Editors' snippets write `rnj-lsp --stdio`.
        given = ["serve", "--stdio"]
    options = _parser().parse_args(given)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (CommandError, ModelError) as error:
        print(f"rnj-lsp: {error}", file=sys.stderr)
        return COULD_NOT
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough.
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rnj-lsp", description="Code completion and edits for every editor, on open models."
    )
    parser.add_argument("--version", action="version", version=f"rnj-lsp {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the language server (what editors start)")
    way = serve.add_mutually_exclusive_group()
    way.add_argument("--stdio", action="store_true", help="speak over standard input and output")
    way.add_argument("--tcp", metavar="HOST:PORT", help="listen on a loopback address instead")
    serve.set_defaults(command=_serve)

    complete = commands.add_parser("complete", help="complete code at a place in a file")
    complete.add_argument("place", metavar="FILE:LINE:COL", help="line and column count from 1")
    _add_model(complete)
    _add_json(complete)
    complete.set_defaults(command=_complete)

    demo = commands.add_parser("try", help="complete holes in real files and show what was there")
    demo.add_argument("places", metavar="FILE:LINE:COL", nargs="*")
    _add_model(demo)
    demo.set_defaults(command=_try)

    why = commands.add_parser("why", help="show what became of the latest requests of your editor")
    why.add_argument("file", nargs="?", help="only those in this file")
    _add_json(why)
    why.set_defaults(command=_why)

    _add_models(commands)
    _add_host(commands)

    doctor = commands.add_parser("doctor", help="check the installation and say what to do")
    _add_model(doctor)
    _add_json(doctor)
    doctor.set_defaults(command=_doctor)

    bench = commands.add_parser("bench", help="measure speed and memory")
    kinds = bench.add_subparsers(required=True, metavar="WHAT")
    engine = kinds.add_parser("engine", help="start-up times, tokens a second, and memory")
    _add_model(engine)
    _add_json(engine)
    engine.set_defaults(command=_bench_engine)
    return parser


def _add_models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    models = commands.add_parser("models", help="list, download, choose and remove models")
    verbs = models.add_subparsers(required=True, metavar="VERB")
    for verb, text in (
        ("list", "show the known models and which are installed"),
        ("pull", "download a model from the Hugging Face hub"),
        ("use", "choose the model that `auto` means"),
        ("remove", "delete a downloaded model"),
    ):
        parser = verbs.add_parser(verb, help=text)
        if verb != "list":
            parser.add_argument(
                "name",
                help="a name of the list" + (", a GGUF file, or auto" if verb == "use" else ""),
            )
        _add_json(parser)
        parser.set_defaults(command=_models, verb=verb)


def _add_host(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    host = commands.add_parser("host", help="the process that runs a local model")
    verbs = host.add_subparsers(required=True, metavar="VERB")
    run = verbs.add_parser("run", help="start the host for a model and wait until it is ready")
    _add_model(run)
    run.set_defaults(command=_host, verb="run")
    for verb, text in (("status", "show the running hosts"), ("stop", "stop them")):
        parser = verbs.add_parser(verb, help=text)
        _add_json(parser)
        parser.set_defaults(command=_host, verb=verb)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="as the setting rnj.model; the configured one by default")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


# Each command is imported when it runs, so that `rnj-lsp --stdio` starts without the others.


def _serve(options: argparse.Namespace) -> int:
    from rnj_lsp.cli.serve import serve

    return serve(options.tcp)


def _complete(options: argparse.Namespace) -> int:
    from rnj_lsp.cli.complete import complete

    return complete(options.place, options.model, options.json)


def _try(options: argparse.Namespace) -> int:
    from rnj_lsp.cli.complete import try_holes

    return try_holes(options.places, options.model)


def _why(options: argparse.Namespace) -> int:
    from rnj_lsp.cli.why import why

    return why(options.file, options.json)


def _models(options: argparse.Namespace) -> int:
    from rnj_lsp.cli.models import models

    return models(options.verb, getattr(options, "name", ""), options.json)


def _host(options: argparse.Namespace) -> int:
    from rnj_lsp.cli.host import host

    return host(options.verb, getattr(options, "model", None), getattr(options, "json", False))


def _doctor(options: argparse.Namespace) -> int:
    from rnj_lsp.cli.doctor import doctor

    return doctor(options.model, options.json)


def _bench_engine(options: argparse.Namespace) -> int:
    from rnj_lsp.bench.engine import bench_engine

    return bench_engine(options.model, options.json)
