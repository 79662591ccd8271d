"""Run directories on the Hugging Face Hub: downloaded, or found in its local cache, and uploaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from alpha_umi.config import read_toml
from alpha_umi.errors import CheckpointError, StorageError, explain_missing_extra
from alpha_umi.store import read_json

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def is_repository(name: str) -> bool:
    """Return True if a name can be a repository, OWNER/NAME, and is no path: the folder OWNER is not there."""
    return _REPOSITORY.fullmatch(name) is not None and not Path(name).parent.exists()


def fetch_run(repository: str) -> Path:
    """Return the local folder of a repository: from the local cache, else downloaded into it.

    HF_HUB_OFFLINE forbids the download. Raises CheckpointError where the repository cannot be had, or names code as its
    format.
    """
    with explain_missing_extra("local", "the Hugging Face Hub"):
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    try:
        return _checked(Path(snapshot_download(repository, local_files_only=True)), repository)
    except LocalEntryNotFoundError:
        pass
    unknown = f"{repository}: no such run directory or agent file, no bundled agent of that name"
    if constants.HF_HUB_OFFLINE:
        raise CheckpointError(f"{unknown}, and not in the local cache of the Hugging Face Hub (HF_HUB_OFFLINE is set)")
    # Whatever the client raises without a repository: refused, not found, no network.
    try:
        folder = Path(snapshot_download(repository))
    except Exception as error:
        raise CheckpointError(f"{unknown}, and not to be had from the Hugging Face Hub: {_reason(error)}") from None
    return _checked(folder, repository)


def _checked(folder: Path, repository: str) -> Path:
    """The folder, unless loading it would import code that it names. Raises CheckpointError."""
    named = read_toml(folder / "umi.toml").get("format") if (folder / "umi.toml").is_file() else None
    document = read_json(folder / "format.json") if (folder / "format.json").is_file() else None
    kind = document.get("kind") if isinstance(document, dict) else None
    code = next((each for each in (named, kind) if isinstance(each, str) and ":" in each), None)
    if code is not None:
        raise CheckpointError(
            f"{repository}: its format is code ({code}), which a repository of the Hub may not choose; download it, "
            "look at that code, and name the folder"
        )
    return folder


def upload_run(folder: Path, repository: str, *, private: bool, token: str | None, message: str) -> str:
    """Upload a run directory as a repository, which is made if it is not there; returns its address.

    Raises StorageError where the Hub refuses or cannot be reached.
    """
    with explain_missing_extra("local", "the Hugging Face Hub"):
        from huggingface_hub import HfApi
    api: Any = HfApi(token=token)
    # Whatever the client raises: refused, no token, no network.
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    except Exception as error:
        raise StorageError(f"{repository}: cannot be uploaded to the Hugging Face Hub: {_reason(error)}") from None
    return f"{api.endpoint}/{repository}"


def _reason(error: Exception) -> str:
    """First line of a client's error."""
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
