"""Training data: examples, token labels, packed prefix trees, step order, and batches per process."""

from alpha_umi.deprecation import moved_names

__getattr__ = moved_names(__name__)
