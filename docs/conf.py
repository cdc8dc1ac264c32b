"""How the documentation is built: `make docs`, without network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import expmon

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

project = "expmon"
author = "The expmon maintainers"
copyright = author
version = release = expmon.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "_ext.catalogue",
    "_ext.docstrings",
]
exclude_patterns = ["_build"]
# Single backticks of the docstrings name what is documented here, and other code.
default_role = "py:obj"
nitpicky = True
# What other packages have; their documentation is not asked, since the build is without network.
nitpick_ignore_regex = [
    ("py:class", r"(datetime\.)?(date|datetime|timedelta)|(pathlib\.)?Path|os\.PathLike"),
    ("py:class", r"(contextlib\.)?AbstractContextManager|collections\.abc\.Mapping"),
    ("py:class", r"(pd|pa)\.\w+|exp\.Expr|Figure|Credentials"),
    ("py:obj", r"expmon \w+"),  # a command, in another one's help
]

autodoc_typehints = "description"
autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# Notebooks are kept without what they print: it is made anew, and an error in one ends the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 2

html_theme = "furo"
html_title = f"expmon {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["expmon.css"]


def setup(app: Sphinx) -> None:
    # sphinx-click doesn't tell what the page is made from, so it is read each time.
    app.connect("env-get-outdated", lambda *_: ["reference/cli"])
