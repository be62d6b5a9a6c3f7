"""Draws what a terminal program printed: `make picture` makes the README's picture with it."""

import re
import sys
from io import StringIO

from rich.console import Console
from rich.text import Text

WIDTH = 108


def main() -> None:
    """Read coloured text from standard input, write an SVG to the file named."""
    command, target = sys.argv[1:]
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(Text.from_ansi(f"$ {command}\n{sys.stdin.read()}"))
    svg = console.export_svg(title="rnj-lsp")
    # A picture must not fetch fonts from somebody's server.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    with open(target, "w", encoding="utf-8") as file:
        file.write(svg)


main()
