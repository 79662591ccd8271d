"""Codecs of published datasets: raw files to and from trajectories; pure functions over decoded JSON."""
