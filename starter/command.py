"""What the recipe's commands have in common."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

WORK = Path(__file__).parent / "work"
"""Where a command works when it is not told; git ignores it."""


def command(description: str | None) -> ArgumentParser:
    """A parser whose first argument is the work folder."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, nargs="?", default=WORK, help="default: starter/work")
    return parser
