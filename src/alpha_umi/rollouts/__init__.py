"""Rollouts: query sets explored by an agent, each finished task on disk at once."""
