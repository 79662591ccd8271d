"""BFCL: its own checker, run in an environment of its own, and the report of its categories."""
