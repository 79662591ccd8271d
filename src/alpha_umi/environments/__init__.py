"""Environments that execute tool calls; each module holds one kind, and none knows another."""
