"""HTML pages on rollouts, training runs and demos; figures; text tables.

tables.py      Markdown and plain text tables, for every layer
markup.py      HTML in which text is always escaped
figures.py     matplotlib: panels as PNG and SVG
page.py        the frame of a page, its tables and number tiles
trees.py       search trees as SVG
turns.py       one rollout as a card, turn by turn
rollouts.py    the page on a run of rollouts
training.py    the page and figures on a training run
"""

from alpha_umi.deprecation import moved_names

__getattr__ = moved_names(__name__)
