"""Fallback from a schema-constrained endpoint to a less constrained one, for servers that refuse schemas."""

from __future__ import annotations

from alpha_umi.errors import ModelError
from alpha_umi.protocols import Model
from alpha_umi.types import Completion, Prompt, Sampling


class FallbackModel:
    """Model with a fallback: `constrained`, and for good `unconstrained` once only that has answered.

    `refusal`: a text without which an error of the first is no reason to fall back. Implements protocols.Model. Raises
    ModelError where neither answers.
    """

    def __init__(self, constrained: Model, unconstrained: Model, refusal: str = "") -> None:
        self._constrained, self._unconstrained, self._refusal = constrained, unconstrained, refusal
        self.is_constrained = True

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """Continue `prompt`."""
        if self.is_constrained:
            try:
                return await self._constrained.complete(prompt, sampling)
            except ModelError as error:
                if self._refusal not in str(error):
                    raise
                completion = await self._unconstrained.complete(prompt, sampling)
                self.is_constrained = False
                return completion
        return await self._unconstrained.complete(prompt, sampling)
