"""Exact answers of mathematics: their extraction, two judges in the sandbox, and the report."""
