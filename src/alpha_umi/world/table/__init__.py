"""The table world: tables of names, needs and providers by category, and the mechanism that makes tasks of them."""
