"""Text of models, tools and files as a terminal may show it."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Replace control characters, so that text cannot move the cursor, ring the bell, colour or turn what is shown.

    Line breaks and tabs stay.
    """
    return _CONTROL.sub("\ufffd", text)
