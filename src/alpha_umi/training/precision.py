"""Precision in which training passes are computed, chosen by what the processor multiplies fastest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig

_NARROW = 512
"""Hidden size below which a CPU computes in float32 whatever it has: such matrices are too small to gain."""

_WANTED = "AMX or AVX512-BF16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Dtype of passes; weights that learn, and their optimizer, stay in float32."""

    dtype: torch.dtype
    reason: str

    @property
    def is_low(self) -> bool:
        """True for bfloat16."""
        return self.dtype is torch.bfloat16


def choose_precision(name: str, architecture: PreTrainedConfig, *, on_cpu: bool) -> Precision:
    """Precision for a `dtype` of a training configuration. `auto`: bfloat16 on an accelerator, and for models of some
    width on a CPU that multiplies them faster; else float32."""
    faster = _instructions()
    if name == "bfloat16":
        slow = (
            f"; without {_WANTED} this processor multiplies float32 many times as fast" if on_cpu and not faster else ""
        )
        return Precision(dtype=torch.bfloat16, reason=f"as configured{slow}")
    if name == "float32":
        return Precision(dtype=torch.float32, reason="as configured")
    if not on_cpu:
        return Precision(dtype=torch.bfloat16, reason="on an accelerator")
    if not faster:
        return Precision(
            dtype=torch.float32, reason=f"this processor has no {_WANTED}, which bfloat16 needs to be fast"
        )
    width = getattr(architecture.get_text_config(), "hidden_size", 0)
    if width < _NARROW:
        return Precision(dtype=torch.float32, reason=f"a hidden size of {width} is too small to gain from bfloat16")
    return Precision(dtype=torch.bfloat16, reason=f"this processor multiplies bfloat16 faster ({faster})")


def _instructions() -> str:
    """The instructions by which this processor multiplies bfloat16 faster than float32; none: empty."""
    if torch.cpu._is_amx_tile_supported():  # noqa: SLF001
        return "AMX"
    return "AVX512-BF16" if torch.cpu._is_avx512_bf16_supported() else ""  # noqa: SLF001
