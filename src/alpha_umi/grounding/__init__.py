"""Grounding: an agent that calls tools with values that somebody named, and takes up those that the user named."""

from alpha_umi.grounding.agent import GroundedAgent

__all__ = ["GroundedAgent"]
