"""Errors of the endpoint in OpenAI's shape; none quotes a value of the request or an exception of our own."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from alpha_umi.types import Json


@dataclass(kw_only=True, eq=False)
class ApiError(Exception):
    """Error of a request, sent as a response. Not frozen: Python sets the traceback of an exception."""

    status: int
    message: str
    param: str | None = None
    """Field of the request."""
    code: str | None = None

    @property
    def body(self) -> dict[str, Json]:
        """JSON body of the response."""
        return {"error": {"message": self.message, "type": _type(self.status), "param": self.param, "code": self.code}}

    @property
    def event(self) -> dict[str, Json]:
        """Last event of a stream of the Responses API."""
        return {"type": "error", "code": self.code, "message": self.message, "param": self.param, "sequence_number": 0}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Make the error of a request that cannot be served as it is (400)."""
    return ApiError(status=400, message=message, param=param, code=code)


def unsupported(param: str, message: str) -> ApiError:
    """Make the error of a field whose value this server cannot serve (400)."""
    return invalid(message, param, "unsupported_value")


def failed(message: str = "the model failed; the server's log says why") -> ApiError:
    """Make the error of a request that failed here (500)."""
    return ApiError(status=500, message=message, code="model_failed")


@contextmanager
def naming_input() -> Generator[None]:
    """Name the input where an error names the messages, which clients of the Responses API do not send."""
    try:
        yield
    except ApiError as error:
        if not (error.param or "").startswith("messages"):
            raise
        raise replace(error, param="input", message=re.sub(r"^messages\[\d+\]", "input", error.message)) from None


def _type(status: int) -> str:
    match status:
        case 401:
            return "authentication_error"
        case 403:
            return "permission_error"
        case 429:
            return "rate_limit_error"
        case status if status < 500:
            return "invalid_request_error"
        case _:
            return "server_error"
