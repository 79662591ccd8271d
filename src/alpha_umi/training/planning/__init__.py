"""Estimates of a training run before it starts: tokens, steps, memory, disk and time."""
