"""Units to keep in a cache, made without the weight of a test module: processes that are to be killed import this."""

import numpy as np

from alpha_umi.training.data.labels import Sequenced, Unit
from alpha_umi.types import Role


def a_unit(number: int, length: int = 50) -> Unit:
    ids = np.arange(number, number + length, dtype=np.int32)
    example = Sequenced(role=Role.PLANNER, number=0, ids=ids, parts=np.zeros(3, np.uint8))
    return Unit(id=str(number), targets=1, examples=(example,))
