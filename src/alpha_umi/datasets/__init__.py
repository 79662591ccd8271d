"""Raw files of published datasets to and from trajectories; pure functions over decoded JSON."""
