"""A judge held to a schema where its server can do that."""

from __future__ import annotations

from alpha_umi.errors import ModelError
from alpha_umi.protocols import Model
from alpha_umi.types import Completion, Prompt, Sampling


class HeldModel:
    """protocols.Model that asks `held`, and `free` for good once that alone has answered."""

    def __init__(self, held: Model, free: Model) -> None:
        self._held, self._free = held, free
        self.holds = True

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        if self.holds:
            try:
                return await self._held.complete(prompt, sampling)
            except ModelError:
                completion = await self._free.complete(prompt, sampling)
                self.holds = False
                return completion
        return await self._free.complete(prompt, sampling)
