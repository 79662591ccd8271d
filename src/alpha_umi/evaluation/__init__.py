"""How well an agent does: scores of single steps, and of whole rollouts."""
