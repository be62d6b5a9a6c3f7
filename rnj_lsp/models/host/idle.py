"""When the host may leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Idle:
    """Knows how long no request has been served."""

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._running = 0
        self._since = clock()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Count something as a use of the host for as long as the block runs."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._since = self._clock()

    def remaining_s(self) -> float | None:
        """Return the seconds until the host may leave, 0 when it may; None: not foreseeable."""
        if self._limit_s <= 0 or self._running:
            return None
        return max(0.0, self._limit_s - (self._clock() - self._since))
