"""Work for processes of their own; a piece is what it does."""

import os
import time

from alpha_umi.errors import DataError


def do(piece, tell):
    tell("begun", 0, 2)
    match piece:
        case "fail":
            raise DataError("no such file")
        case "bug":
            raise RuntimeError("out of memory")
        case "die":
            os._exit(9)
        case "sleep":
            time.sleep(60)
    tell("ending", 2, 2)
