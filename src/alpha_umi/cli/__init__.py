"""The command line."""

from alpha_umi.cli.app import app, main

__all__ = ["app", "main"]
