"""Examples from trajectories, and the training of roles from examples."""
