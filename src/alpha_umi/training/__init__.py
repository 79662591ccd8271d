"""Supervised training of the roles: data, run estimates, recipes, stages, and losses over packed prefix trees."""
