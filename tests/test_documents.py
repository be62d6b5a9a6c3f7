"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from rnj_lsp.cli.main import main
from rnj_lsp.settings import options

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- settings: made from rnj_lsp/settings.py -->\n", "<!-- end of settings -->"


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value) or "none"
    return f"`{value}`" if value != "" else "empty"


def settings_table() -> str:
    rows = ["| setting | default | what it does |", "|---|---|---|"]
    for option in options():
        choices = get_args(option.type) if get_origin(option.type) is Literal else ()
        among = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
        rows.append(f"| `{option.key}` | {shown(option.default)} | {option.doc}{among} |")
    return "\n".join(rows) + "\n"


def test_the_readme_lists_every_setting_as_it_is(request: pytest.FixtureRequest) -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    expected = before + BEGIN + settings_table() + END + after
    if request.config.getoption("--update-golden"):
        readme.write_text(expected, encoding="utf-8")
    assert expected == text, "run the tests with --update-golden"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_every_relative_link_leads_to_a_file(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_terminal_command_of_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"^(?:\$ )?rnj-lsp ([a-z]+)", text, re.MULTILINE))
    assert len(commands) >= 5
    for command in sorted(commands):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command
    capsys.readouterr()
