"""Where a model is asked: a fixed address, or a local host that is started on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rnj_lsp.models.model import OnState


@dataclass(frozen=True, slots=True)
class Address:
    """An OpenAI-compatible API."""

    base_url: str
    """With the version path, such as `http://127.0.0.1:8000/v1`."""

    api_key: str
    """Empty where none is needed."""


class Endpoint(Protocol):
    """Something that has an address, perhaps after some work."""

    @property
    def restartable(self) -> bool:
        """True when a lost address can be replaced by asking `connect` again."""
        ...

    async def connect(self, on_state: OnState) -> Address:
        """Return the address; a local host is found or started first.

        Raises `HostFailed` with a sentence that says what to do.
        """
        ...

    def lost(self, address: Address) -> None:
        """Say that nothing answers at this address any more, so that `connect` looks again."""
        ...


@dataclass(frozen=True, slots=True)
class FixedEndpoint:
    """A remote endpoint: it is where it is."""

    address: Address
    restartable: bool = False

    async def connect(self, on_state: OnState) -> Address:
        """Return the address at once."""
        return self.address

    def lost(self, address: Address) -> None:
        """Do nothing: a fixed address has no replacement."""
