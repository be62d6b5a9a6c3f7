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
    """Turns answers and failures into changes of state; `title` begins its sentences."""

    def __init__(self, on_state: OnState, title: str) -> None:
        self._on_state = on_state
        self._kind = "idle"
        self._soft_failures = 0
        self._title = title

    def pass_on(self, state: ModelState) -> None:
        """Pass on what an endpoint says of its own start."""
        if state.kind != self._kind or state.kind == "loading":
            self._tell(state)

    def found(self) -> None:
        """Say that the endpoint is there; after a failure only an answer shows that it works."""
        if self._kind in ("idle", "loading"):
            self._tell(ModelState("ready", f"{self._title} is ready"))

    def worked(self) -> None:
        """Say that the model answers."""
        self._soft_failures = 0
        if self._kind != "ready":
            back = " again" if self._kind == "unreachable" else ""
            self._tell(ModelState("ready", f"{self._title} answers{back}"))

    def failed(self, error: ModelError) -> None:
        """Say that a request failed; one slow or broken answer alone changes nothing."""
        if isinstance(error, ModelTimeout | ModelBroken):
            self._soft_failures += 1
            if self._soft_failures < 2:
                return
        elif not isinstance(error, ModelUnreachable | KeyRefused | ModelNotFound):
            # It refuses this request, so it is there.
            self.worked()
            return
        if self._kind != "unreachable":
            self._tell(ModelState("unreachable", str(error)))

    def _tell(self, state: ModelState) -> None:
        self._kind = state.kind
        self._on_state(state)
