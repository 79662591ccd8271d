"""Formats: rendering of prompts and parsing of completions. No other package builds or splits prompt text."""
