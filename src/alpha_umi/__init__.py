"""alpha-UMi: tool agents made of three small language models."""

__version__ = "0.1.0"
