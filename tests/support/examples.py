"""Number of random cases in which a law is tested: a part in the fast tests, all where the slow ones run too."""

import hypothesis

ALL, PART = 100, 30
"""Cases of a law that names no number."""


def examples(count: int) -> int:
    """Cases of a law that has `count` where all tests run."""
    return -(-count * hypothesis.settings.default.max_examples // ALL)
