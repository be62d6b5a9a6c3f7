"""What one server knows: folders, settings, open documents, and a session per model."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rnj_lsp.completion.journal import Journal
from rnj_lsp.completion.session import Session
from rnj_lsp.completion.suggestion import Outcome, Place, Reason, Trigger
from rnj_lsp.lsp.configuration import configured
from rnj_lsp.models.model import Model, ModelError, ModelState
from rnj_lsp.settings import HostSettings, Layer, Problem, Settings
from rnj_lsp.source.document import Document, Documents

OpenModel = Callable[[str, HostSettings, Callable[[ModelState], None]], Model]


@dataclass(frozen=True, slots=True)
class Folder:
    """One root of the workspace."""

    path: Path
    settings: Settings


@dataclass(slots=True)
class _Open:
    """A model in use and its session."""

    model: Model
    session: Session
    state: ModelState


class Workspace:
    """The state of one server; it belongs to one event loop.

    `on_state` hears every change of a model's state, with the model's name in the settings.
    """

    def __init__(
        self,
        open_model: OpenModel,
        on_state: Callable[[str, ModelState], None],
        journal: Journal,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.documents = Documents()
        self.journal = journal
        self._open_model = open_model
        self._on_state = on_state
        self._environ = environ
        self._given: dict[str, Layer] = {}
        self._folders: dict[Path, Folder] = {}
        self._models: dict[str, _Open] = {}
        self._settings = Settings()

    def configure(self, layer: Layer | None = None) -> list[Problem]:
        """Read all settings again, with this layer in place of the last one from its source.

        Returns what was wrong with them.
        """
        if layer is not None:
            self._given[layer.source] = layer
        given = list(self._given.values())
        self._settings, problems = configured(None, given, self._environ)
        for path in self._folders:
            settings, more = configured(path, given, self._environ)
            self._folders[path] = Folder(path, settings)
            problems += [problem for problem in more if problem not in problems]
        for opened in self._models.values():
            opened.session.settings_changed()
        logging.getLogger("rnj_lsp").setLevel(self._settings.log.level.upper())
        return problems

    def add_folder(self, path: Path) -> None:
        """Add a root; `configure` reads its project file."""
        self._folders[path] = Folder(path, self._settings)

    def remove_folder(self, path: Path) -> None:
        """Remove a root."""
        self._folders.pop(path, None)

    @property
    def folders(self) -> list[Path]:
        """The roots, in the editor's order."""
        return list(self._folders)

    def settings(self, path: str = "") -> Settings:
        """Return the settings that hold for a file."""
        folder = self._folder_of(path)
        return folder.settings if folder else self._settings

    def place(self, document: Document, offset: int) -> Place:
        """Return a cursor with the name that the model sees for the file."""
        folder = self._folder_of(document.path)
        return Place.of(document, offset, folder.path if folder else None)

    async def suggest(self, place: Place, trigger: Trigger) -> Outcome:
        """Return a suggestion or the reason for none, and note in the journal which."""
        settings = self.settings(place.document.path)
        spec = settings.completion.model or settings.model
        try:
            opened = self._opened(spec, settings.host)
        except ModelError as error:
            outcome = Outcome(None, Reason.MODEL_FAILED, str(error))
            self.journal.add(time.time(), place, trigger, spec, outcome)
            return outcome
        outcome = await opened.session.suggest(place, trigger, settings.completion)
        self.journal.add(time.time(), place, trigger, opened.model.info.name, outcome)
        return outcome

    def completion_model(self) -> Model:
        """Return the model that completes, opened if need be. Raises a `ModelError`."""
        spec = self._settings.completion.model or self._settings.model
        return self._opened(spec, self._settings.host).model

    def state(self) -> ModelState:
        """Return how the completion model is."""
        spec = self._settings.completion.model or self._settings.model
        opened = self._models.get(spec)
        return opened.state if opened else ModelState("idle")

    def close_document(self, uri: str) -> None:
        """Drop a document and all that was kept about it."""
        self.documents.close(uri)
        for opened in self._models.values():
            opened.session.forget(uri)

    async def close_models(self) -> None:
        """End every request and let go of the models; the next request opens them again."""
        models, self._models = list(self._models.values()), {}
        for opened in models:
            await opened.session.close()
            await opened.model.close()

    def _opened(self, spec: str, host: HostSettings) -> _Open:
        opened = self._models.get(spec)
        if opened is None:
            model = self._open_model(spec, host, lambda state: self._changed(spec, state))
            opened = self._models[spec] = _Open(model, Session(model), ModelState("idle"))
        return opened

    def _changed(self, spec: str, state: ModelState) -> None:
        opened = self._models.get(spec)
        if opened is not None:
            opened.state = state
        self._on_state(spec, state)

    def _folder_of(self, path: str) -> Folder | None:
        """Return the innermost root that holds the file."""
        inside = [folder for root, folder in self._folders.items() if _holds(root, path)]
        return max(inside, key=lambda folder: len(folder.path.parts), default=None)


def _holds(root: Path, path: str) -> bool:
    return bool(path) and Path(path).is_relative_to(root)
