"""Sketch of a model's weights: some values of some matrices, by which another quantisation of them is known again.

The fingerprint of `models.adapters` says whether weights are the same; a sketch says whether they are nearly so.
"""

from __future__ import annotations

import base64

import numpy as np
import torch
from torch import nn

QUANTIZED = "dequantized_from"
"""Attribute of a model's configuration: the quantisation that its weights were stored in."""
_MATRICES, _VALUES = 8, 64
_ALIKE = 0.9
"""Correlation of two sketches of one model; coarse quantisations reach 0.95, other models nothing."""


def sketch(model: nn.Module) -> str | None:
    """Sketch of the weights as text, with a mark where they were stored quantised; None where they are on no device."""
    own = (weight for name, weight in model.named_parameters() if ".adapters." not in name and ".rows." not in name)
    matrices = [weight for weight in own if weight.ndim == 2]
    if not matrices or any(weight.is_meta for weight in matrices):
        return None
    chosen = matrices[:: max(1, len(matrices) // _MATRICES)][:_MATRICES]
    values = [weight.detach().flatten()[:: max(1, weight.numel() // _VALUES)][:_VALUES] for weight in chosen]
    sampled = torch.cat([each.float().cpu() for each in values]).half().numpy()
    mark = "~" if getattr(getattr(model, "config", None), QUANTIZED, None) else "="
    return mark + base64.b64encode(sampled.tobytes()).decode()


def is_other_quantisation(one: str, other: str) -> bool:
    """Return True for sketches of nearly the same weights, of which at least one set was stored quantised."""
    if "~" not in one[:1] + other[:1]:
        return False
    try:
        first, second = (
            np.frombuffer(base64.b64decode(each[1:]), np.float16).astype(np.float64) for each in (one, other)
        )
    except ValueError:
        return False
    if first.shape != second.shape or first.size < 2:
        return False
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return scale > 0 and float(first @ second) / scale > _ALIKE
