"""Groups of public verbs, as `umi judge pass` is one of `umi judge`."""

from __future__ import annotations

import difflib
from typing import Any

from alpha_umi.errors import ConfigError


class VerbGroup:
    """Verbs as attributes; calling the group with a verb's name calls the verb."""

    def __call__(self, verb: str, /, *positional: Any, **named: Any) -> Any:
        """The verb of that name. Raises ConfigError for an unknown one."""
        known = [name.rstrip("_") for name in vars(type(self)) if not name.startswith("_")]
        if verb not in known:
            near = difflib.get_close_matches(str(verb), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"no verb {verb!r}; {hint}")
        return getattr(self, verb if hasattr(self, verb) else f"{verb}_")(*positional, **named)
