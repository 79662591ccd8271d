"""The demo: an agent in the sealed world, shown live, measured, and written up as one page.

choices.py     the tasks, chosen by rule
measures.py    teacher-forced steps and whole tasks, with and without constrained decoding
session.py     the demo from start to page
page.py        its tables and its page
training.py    the training demo: data, training, then the demo with that agent
"""

from alpha_umi.deprecation import moved_names

__getattr__ = moved_names(__name__)
