"""Whether a model works, told to the user when it changes and only then."""

from __future__ import annotations

from rnj_lsp.models.model import (
    KeyRefused,
    ModelBroken,
    ModelError,
    ModelNotFound,
    ModelState,
    ModelTimeout,
    ModelUnreachable,
    OnState,
)


class Health:
    """Turns answers and failures into changes of state."""

    def __init__(self, on_state: OnState, title: str) -> None:
        self._on_state = on_state
        self._kind = "idle"
        self._soft_failures = 0
        self.title = title
        """The model and its place, for the sentences."""

    def pass_on(self, state: ModelState) -> None:
        """Pass on what an endpoint says of its own start."""
        if state.kind != self._kind or state.kind == "loading":
            self._tell(state)

    def worked(self) -> None:
        """Say that the model answers."""
        self._soft_failures = 0
        if self._kind != "ready":
            back = " again" if self._kind == "unreachable" else ""
            self._tell(ModelState("ready", f"{self.title} answers{back}"))

    def failed(self, error: ModelError) -> None:
        """Say that a request failed; one slow or broken answer alone changes nothing."""
        if isinstance(error, ModelTimeout | ModelBroken):
            self._soft_failures += 1
            if self._soft_failures < 2:
                return
        elif not isinstance(error, ModelUnreachable | KeyRefused | ModelNotFound):
            return
        if self._kind != "unreachable":
            self._tell(ModelState("unreachable", str(error)))

    def _tell(self, state: ModelState) -> None:
        self._kind = state.kind
        self._on_state(state)
