# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How the pages of docs/ become a site: `make docs`, without network."""

import importlib.metadata

project = "lingshu_jax"
author = "The lingshu_jax authors"
release = importlib.metadata.version("lingshu-jax")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = "lingshu_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# A block that names no language holds commands or a sketch; `a` in a docstring is code.
highlight_language = "text"
default_role = "code"
# Types stand in the signature; parameters are described as the docstrings do.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
nitpicky = False
