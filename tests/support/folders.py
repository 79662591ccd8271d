"""Folders that tests read: the repository, its sources, and the golden cases beside it."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = REPOSITORY / "src"
TESTS = REPOSITORY / "tests"
SUPPORT = TESTS / "support"
DEFAULT_GOLDEN = REPOSITORY.parent / "shared" / "golden"
GOLDEN = Path(os.environ.get("ALPHA_UMI_GOLDEN") or DEFAULT_GOLDEN)
SHARED = GOLDEN.parent  # published formats and data lie beside the golden cases


def golden_dir(family: str) -> Path:
    """Return the folder of one family of golden cases; skip the test, or the importing module, where there is none.

    Looked for under the environment variable ALPHA_UMI_GOLDEN, else in ../shared/golden beside the repository.
    """
    folder = GOLDEN / family
    if not folder.is_dir():
        pytest.skip(f"no golden cases at {folder}; set ALPHA_UMI_GOLDEN to their folder", allow_module_level=True)
    return folder
