"""Splits of the functions world."""

from __future__ import annotations

from enum import StrEnum

NAME = "functions"


class Split(StrEnum):
    """Split of the tasks."""

    TRAIN = "train"
    UNSEEN_NEEDS = "unseen_needs"
    """About domains that training never meets, not even as tools that are of no use."""
    UNSEEN_WORDING = "unseen_wording"
    """About the needs of training, in requests worded as none there."""
