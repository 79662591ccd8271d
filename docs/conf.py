"""Settings of the documentation site: Sphinx with MyST Markdown and the furo theme, built offline (`make docs`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "alpha_umi"
author = "the authors of alpha_umi"
copyright = "Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "module_list", "public_names"]
exclude_patterns = ["_build", "_extensions"]

myst_enable_extensions = ["attrs_block", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
default_role = "code"
maximum_signature_line_length = 88

nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types in signatures; most of them are private on purpose

html_theme = "furo"
html_title = "alpha_umi"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
