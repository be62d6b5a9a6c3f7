"""Settings as a server or a terminal command finds them: project file, editor, environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rnj_lsp.settings import Layer, Problem, Settings, load

PROJECT_FILE = ".rnj.toml"


def configured(
    folder: Path | None,
    editor: Sequence[Layer] = (),
    environ: Mapping[str, str] = os.environ,
    command_line: Sequence[Layer] = (),
) -> tuple[Settings, list[Problem]]:
    """Return the settings for one workspace folder, and what was wrong with their sources.

    Each source wins over those before it: the project file, the editor, the environment, and the
    command line.
    """
    layers, problems = list[Layer](), list[Problem]()
    if folder is not None:
        layer, problem = _project_layer(folder / PROJECT_FILE)
        layers += [layer] if layer else []
        problems += [problem] if problem else []
    layers += editor
    if environ.get("RNJ_MODEL"):
        layers.append(Layer("the environment", {"model": environ["RNJ_MODEL"]}))
    settings, more = load([*layers, *command_line])
    return settings, problems + more


def model_option(model: str | None) -> list[Layer]:
    """Return what the option `--model` of a command sets."""
    values = {"model": model, "completion": {"model": model}}
    return [Layer("the command line", values)] if model else []


def _project_layer(file: Path) -> tuple[Layer | None, Problem | None]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None, None
    except (OSError, UnicodeDecodeError) as error:
        return None, Problem(str(file), "the file", f"it cannot be read ({error}) and is ignored")
    try:
        return Layer(str(file), tomllib.loads(text), trusted=False), None
    except tomllib.TOMLDecodeError as error:
        return None, Problem(str(file), "the file", f"it is not TOML ({error}) and is ignored")
