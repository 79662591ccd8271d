"""Units to keep in a cache, made without the weight of a test module: processes that are to be killed import this."""

import numpy as np

from alpha_umi.training.data.labels import TokenizedExample, TokenizedTrajectory
from alpha_umi.types import Role


def a_unit(number: int, length: int = 50) -> TokenizedTrajectory:
    ids = np.arange(number, number + length, dtype=np.int32)
    example = TokenizedExample(role=Role.PLANNER, number=0, ids=ids, parts=np.zeros(3, np.uint8))
    return TokenizedTrajectory(id=str(number), targets=1, examples=(example,))
