"""Jobs: the functions behind the verbs of the command line, the Python API and the demo."""

from alpha_umi.deprecation import moved_names

__getattr__ = moved_names(__name__)
