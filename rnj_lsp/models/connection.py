"""The connection of a model to its endpoint, which may move or be started anew."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rnj_lsp.models.endpoint import Endpoint
from rnj_lsp.models.model import (
    KeyRefused,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    ModelUnreachable,
    OnState,
    RateLimited,
)
from rnj_lsp.models.served import Served, served_by
from rnj_lsp.models.wire import Wire


@dataclass(frozen=True, slots=True)
class Link:
    """A wire to an endpoint that has said what it serves."""

    wire: Wire
    served: Served
    model_name: str
    """The endpoint's name for the model."""


class Connection:
    """Finds, keeps and replaces the link. Close it."""

    def __init__(
        self, endpoint: Endpoint, where: str, model_name: str, connect_s: float, answer_s: float
    ) -> None:
        self._endpoint = endpoint
        self._where = where
        self._model_name = model_name
        self._connect_s = connect_s
        self._answer_s = answer_s
        self._wire: Wire | None = None
        self._link: Link | None = None
        self._linking = asyncio.Lock()

    @property
    def restartable(self) -> bool:
        """A lost link can be replaced by another one."""
        return self._endpoint.restartable

    async def link(self, on_state: OnState) -> Link:
        """Return the link, made when there is none; raises `ModelError`."""
        address = await self._endpoint.connect(on_state)
        async with self._linking:
            if self._wire is None or self._wire.address != address:
                await self.close()
                self._wire = Wire(address, self._where, self._connect_s)
            if self._link is None:
                self._link = await self._made(self._wire)
            return self._link

    def lost(self) -> None:
        """Say that nothing answers any more: the endpoint is looked for and asked again."""
        self._link = None
        if self._wire is not None:
            self._endpoint.lost(self._wire.address)

    async def close(self) -> None:
        """Let go of the wire."""
        wire, self._wire, self._link = self._wire, None, None
        if wire is not None:
            await wire.close()

    async def _made(self, wire: Wire) -> Link:
        served = await self._served(wire)
        if self._model_name:
            return Link(wire, served, self._model_name)
        if not served.names:
            raise ModelNotFound(
                f"{self._where} lists no model; name one behind the address, "
                "as in http://host:8000/v1#model"
            )
        return Link(wire, served, served.names[0])

    async def _served(self, wire: Wire) -> Served:
        try:
            answer = await wire.get("models", self._answer_s)
        except (ModelUnreachable, ModelTimeout, KeyRefused, RateLimited):
            raise
        except ModelError:
            # Some endpoints have no such list, and do well without it.
            return Served()
        return served_by(answer, wire.address.base_url, self._model_name)
