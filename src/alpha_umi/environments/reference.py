"""Replies of tools as ToolBench's client and server read them, word for word: error classes, codes, observations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from alpha_umi.types import Json, Observation, Reference, ToolStatus

MAX_CHARS = 1024
"""Characters that the published clients keep of an observation."""
OK, UNKNOWN, FAILED = 0, 1, 12
_CODES: Mapping[str, int] = {
    "API not working error...": 6,
    "Unauthorized error...": 7,
    "Unsubscribed error...": 8,
    "Too many requests error...": 9,
    "Rate limit per minute error...": 10,
    "Message error...": 11,
}
_STATUS: Mapping[int, ToolStatus] = {
    OK: ToolStatus.OK,
    UNKNOWN: ToolStatus.UNKNOWN_TOOL,
    9: ToolStatus.RATE_LIMITED,
    10: ToolStatus.RATE_LIMITED,
}


@dataclass(frozen=True, slots=True)
class Replies:
    """Reader of a tool service's replies that does what a published client does."""

    reference: Reference
    max_chars: int = MAX_CHARS

    def read(self, status_code: int, text: str) -> Observation:
        content, code = self.decode(status_code, text)
        return self._observe(content, code)

    def decode(self, status_code: int, text: str) -> tuple[str, int]:
        """Return observation and code; a reply at which the published client stops counts as one of no use."""
        if status_code != 200:
            return _no_use(f"request invalid, data error. status_code={status_code}"), FAILED
        try:
            body: object = json.loads(text)
        except (ValueError, RecursionError):
            return _no_use("request invalid, data error"), FAILED
        if not isinstance(body, dict) or (self.reference is Reference.ALPHA_UMI and "response" not in body):
            return _no_use("request invalid, data error"), FAILED
        reply = cast("dict[str, Json]", body)
        error = reply.get("error")
        code = _CODES.get(error, OK) if isinstance(error, str) else OK
        return self._cut(json.dumps(self._shown(reply))), code

    def unknown(self, name: str) -> Observation:
        return self._observe(_no_use(f"No such function name: {name}"), UNKNOWN)

    def unreachable(self, status: ToolStatus) -> Observation:
        """Observation of a service that gave no reply: it hung up, was not there, or took too long."""
        return replace(self._observe(_no_use("request time out"), FAILED), status=status)

    def _shown(self, reply: Mapping[str, Json]) -> Json:
        if self.reference is Reference.OPENBMB:
            return dict(reply)
        response = reply.get("response", "")
        return {"message": reply.get("error", "")} if response == "" else response

    def _cut(self, text: str) -> str:
        return text if len(text) <= self.max_chars else f"{text[: self.max_chars]}..."

    def _observe(self, content: str, code: int) -> Observation:
        return Observation(content=self._cut(content), status=_STATUS.get(code, ToolStatus.ERROR))


def _no_use(error: str) -> str:
    return json.dumps({"error": error, "response": ""})


def read_status(error: str) -> ToolStatus:
    """Return the status that an error of a tool service means: rate limited, timeout, or error."""
    words = error.lower()
    if any(sign in words for sign in ("rate limit", "too many requests", "exceeded")):
        return ToolStatus.RATE_LIMITED
    return ToolStatus.TIMEOUT if "timeout" in words or "timed out" in words else ToolStatus.ERROR
