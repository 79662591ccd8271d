"""Inference engine: one ragged forward per step over one shared KV cache, for roles that are adapters on one base."""
