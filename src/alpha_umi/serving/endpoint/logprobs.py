"""Log probabilities of the tokens of an answer, in the shape that both of OpenAI's APIs have."""

from __future__ import annotations

from alpha_umi.serving.endpoint.meters import RequestMeter
from alpha_umi.types import Json


def write_logprobs(meter: RequestMeter, text: str) -> list[Json] | None:
    """Write the tokens of a text of the answer; None where they were not asked for, or the models tell none."""
    tokens = meter.answer_logprobs(text)
    if tokens is None:
        return None
    return [
        {
            **_token(token.text, token.logprob),
            "top_logprobs": [_token(other, logprob) for other, logprob in token.likeliest],
        }
        for token in tokens
    ]


def _token(text: str, logprob: float | None) -> dict[str, Json]:
    return {"token": text, "logprob": logprob, "bytes": list[Json](text.encode())}
