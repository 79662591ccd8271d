"""Composition root: from configuration to formats, agents, judges, environments and rollouts, ready to run."""
