"""Several roles for the price of one model: one ragged forward per step over one shared cache."""
