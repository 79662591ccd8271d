"""Fallback from a schema-constrained endpoint to an unconstrained one, for servers that refuse schemas."""

from __future__ import annotations

from alpha_umi.errors import ModelError
from alpha_umi.protocols import Model
from alpha_umi.types import Completion, Prompt, Sampling


class FallbackModel:
    """Model with a fallback: `constrained`, and for good `unconstrained` once only that has answered.

    Implements protocols.Model. Raises ModelError where neither answers.
    """

    def __init__(self, constrained: Model, unconstrained: Model) -> None:
        self._constrained, self._unconstrained = constrained, unconstrained
        self.is_constrained = True

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """Continue `prompt`."""
        if self.is_constrained:
            try:
                return await self._constrained.complete(prompt, sampling)
            except ModelError:
                completion = await self._unconstrained.complete(prompt, sampling)
                self.is_constrained = False
                return completion
        return await self._unconstrained.complete(prompt, sampling)
