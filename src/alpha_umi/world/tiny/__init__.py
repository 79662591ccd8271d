"""Tiny world, written out by hand: few tools, short words."""
