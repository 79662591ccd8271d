"""Recovery of a template format from processed example files."""
