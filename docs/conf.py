"""How Sphinx builds the site:

python -m sphinx -W --keep-going -b html docs docs/_build/html
"""

import sys
import warnings
from pathlib import Path

from numpydoc.xref import DEFAULT_LINKS

import skmixed

DEFAULT_LINKS.clear()  # which go to pages of Python and NumPy that are not stored
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "skmixed"
author = "the skmixed developers"
version = release = skmixed.__version__

extensions = [
    "appearance",
    "equations",
    "inventories",
    "matplotlib.sphinxext.figmpl_directive",
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sources",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = [
    "_build",
    "benchmarks/**",
    "studies/**",
    "sg_execution_times.rst",
    "auto_examples/sg_execution_times.rst",
]
myst_enable_extensions = ["colon_fence", "dollarmath", "substitution"]
myst_substitutions = {"version": release}
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]

html_theme = "pydata_sphinx_theme"
html_title = "skmixed"
html_static_path = ["_static"]
html_css_files = ["skmixed.css"]
html_show_sourcelink = False
html_sidebars = {"*": []}  # pages that have no others below them
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": f"skmixed {release}"},
    "show_prev_next": False,
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
copyright = "the skmixed developers, BSD-3-Clause"

autosummary_generate = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
add_module_names = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {
    "DataFrame": "pandas.DataFrame",
    "Series": "pandas.Series",
    "ndarray": "numpy.ndarray",
    "array": "numpy.ndarray",
    "Bunch": "sklearn.utils.Bunch",
}
numpydoc_xref_ignore = "all"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
numpydoc_validation_checks = set()

plot_basedir = "pictures"
plot_formats = [("png", 100)]
plot_srcset = ["2x"]
plot_html_show_formats = False
plot_html_show_source_link = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skmixed",),
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"(quickstart|one_hot_or_trees)\.py",
    "within_subsection_order": "FileNameSortKey",
    "subsection_order": ["../examples/tutorial", "../examples/gallery"],
    "nested_sections": False,
    "download_all_examples": False,
    "default_thumb_file": str(Path(__file__).parent / "_static" / "quickstart.png"),
    "show_signature": False,
    "capture_repr": (),
    "remove_config_comments": True,
    "plot_gallery": True,
    "abort_on_example_error": True,
    "min_reported_time": 60,
    "write_computation_times": False,
}

# Examples that show what a warning is about should not stop the build with it.
warnings.filterwarnings("ignore", message=".*non-interactive.*")
