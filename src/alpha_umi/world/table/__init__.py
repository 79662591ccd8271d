"""Table world: data files of names, needs and providers by category, and the sampler of tasks over them."""
