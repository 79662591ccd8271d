"""Command line `umi`: one module per group of verbs."""

from alpha_umi.cli.app import app, main

__all__ = ["app", "main"]
