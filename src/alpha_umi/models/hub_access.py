"""Access to models on the Hugging Face Hub: one short question whether a model can be had.

Without it, a machine that has no network waits for more than a minute: the Hub's client tries each file many times.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from alpha_umi.errors import CheckpointError

_TIMEOUT_S = 10.0


@lru_cache(maxsize=64)
def check_access(repository: str) -> None:
    """Check that a repository, OWNER/NAME, is in the local cache or that the Hub offers it. Raises CheckpointError.

    HF_HUB_OFFLINE forbids the question, and then also what is not in the cache.
    """
    try:
        from huggingface_hub import HfApi, constants, try_to_load_from_cache
    except ModuleNotFoundError:
        return  # what would load it says so
    api: Any = HfApi()
    # Whatever the client raises: no network, no such repository, no leave to read it, a name that can be none.
    try:
        if isinstance(try_to_load_from_cache(repository, "config.json"), str):
            return
        if not constants.HF_HUB_OFFLINE:
            api.model_info(repository, timeout=_TIMEOUT_S)
            return
        reason = "HF_HUB_OFFLINE is set"
    except Exception as error:
        reason = f"the Hub said: {_first_line(error)}"
    raise CheckpointError(
        f"{repository}: not in the local cache of the Hugging Face Hub, and not to be had ({reason}); fetch it where "
        f"there is a network ('hf download {repository}'), or name a folder or a .gguf file"
    )


def _first_line(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__).rstrip(".")
