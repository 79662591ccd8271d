"""Rollouts: query sets explored by an agent, with every finished task saved at once."""
