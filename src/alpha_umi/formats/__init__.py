"""Prompt text, both ways. Nothing outside this package builds or splits any."""
