"""The downloaded models on this machine, and the one among them that the user chose."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rnj_lsp.models.catalog import KnownFile, KnownModel, known_model, known_models
from rnj_lsp.models.folders import data_folder
from rnj_lsp.models.model import ModelNotFound, ModelRefused


@dataclass(frozen=True, slots=True)
class Installed:
    """A downloaded model file, whole and checked."""

    model: KnownModel
    file: KnownFile
    path: Path
    size_bytes: int


def models_folder() -> Path:
    """Return where downloaded models are kept: a folder for each model's name."""
    folder = data_folder() / "models"
    folder.mkdir(exist_ok=True)
    return folder


def partial_folder() -> Path:
    """Return where downloads are kept that are not whole."""
    folder = models_folder() / ".partial"
    folder.mkdir(exist_ok=True)
    return folder


def partials(model: KnownModel, file: KnownFile | None) -> list[Path]:
    """Return the downloads of a model that are not whole; of one file, or of all."""
    quantisation = file.quantisation if file is not None else "*"
    return sorted(partial_folder().glob(f"{model.name}.{quantisation}.*.part"))


def installed() -> list[Installed]:
    """Return every downloaded model, in the order of the catalogue."""
    found = []
    for model in known_models():
        folder = models_folder() / model.name
        paths = sorted(folder.glob("*.gguf")) if model.repository and folder.is_dir() else []
        for file in model.files:
            for path in paths:
                if matches(file, path.name) and path.is_file():
                    found.append(Installed(model, file, path, path.stat().st_size))
    return found


def find_installed(name: str) -> Installed | None:
    """Return the downloaded file of `name` or `name:quantisation`; the recommended one first."""
    model, file = known(name)
    for item in installed():
        if item.model == model and file in (None, item.file):
            return item
    return None


def known(name: str) -> tuple[KnownModel, KnownFile | None]:
    """Return the model of `name`, with the file of `name:quantisation`.

    Raises `ModelNotFound` with the names there are.
    """
    plain, _, quantisation = name.partition(":")
    model = known_model(plain)
    if model is None:
        names = ", ".join(item.name for item in known_models())
        raise ModelNotFound(f"there is no model {plain} in the catalogue; it has {names}")
    if not quantisation:
        return model, None
    for file in model.files:
        if file.quantisation.lower() == quantisation.lower():
            return model, file
    names = ", ".join(file.quantisation for file in model.files)
    raise ModelNotFound(f"{model.name} is known as {names}, not as {quantisation}")


def matches(file: KnownFile, name: str) -> bool:
    """Return whether a file of this name, in a repository or a folder, is this quantisation."""
    return fnmatch.fnmatchcase(name.lower(), file.pattern)


def use(name: str) -> str:
    """Remember the model that `auto` takes, and return how it was remembered.

    `name` is a downloaded model, `starter`, or the path of a GGUF file; `auto` forgets the
    choice. Raises `ModelNotFound` for what is not there.
    """
    if name == "auto":
        _choice_path().unlink(missing_ok=True)
        return name
    path = os.path.expanduser(name)
    if name.lower().endswith(".gguf") or os.path.isfile(path):
        if not os.path.isfile(path):
            raise ModelNotFound(f"there is no file {path}")
        spec = os.path.abspath(path)
    elif name.lower() == "starter":
        spec = "starter"
    elif (found := find_installed(name)) is not None:
        spec = f"{found.model.name}:{found.file.quantisation}"
    else:
        raise ModelNotFound(f"{name} is not downloaded; run rnj-lsp models pull {name}")
    _write_whole(_choice_path(), json.dumps({"model": spec}) + "\n")
    return spec


def chosen() -> str | None:
    """Return the model that the user chose by `use`; None where there is no choice."""
    try:
        choice = json.loads(_choice_path().read_text("utf-8"))
    except (OSError, ValueError):
        return None
    model = choice.get("model") if isinstance(choice, dict) else None
    return model if isinstance(model, str) else None


def remove(name: str) -> list[Path]:
    """Delete the downloaded files of `name` or `name:quantisation`, and return their paths.

    Unfinished downloads go, too. A choice that is gone with them is forgotten. Raises
    `ModelNotFound` where nothing is downloaded, and `ModelRefused` where a file cannot be deleted.
    """
    model, file = known(name)
    whole = [item for item in installed() if item.model == model and file in (None, item.file)]
    paths = [item.path for item in whole] + partials(model, file)
    if not paths:
        raise ModelNotFound(f"{name} is not downloaded")
    for path in paths:
        try:
            path.unlink()
        except OSError as error:
            raise ModelRefused(
                f"{path} cannot be deleted ({error.strerror}); run rnj-lsp host stop, and try again"
            ) from error
    with contextlib.suppress(OSError):
        (models_folder() / model.name).rmdir()
    choice = chosen()
    if choice is not None and choice.partition(":")[0] == model.name and not _is_there(choice):
        _choice_path().unlink(missing_ok=True)
    return paths


def _is_there(choice: str) -> bool:
    try:
        return find_installed(choice) is not None
    except ModelNotFound:
        return False


def _choice_path() -> Path:
    return data_folder() / "choice.json"


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
