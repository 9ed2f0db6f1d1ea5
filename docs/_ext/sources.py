"""Sphinx extension: a page of the source of every module, whose citations of the
mathematics are links to its equations and sections.
"""

import pkgutil

from equations import CITATION, NUMBER, PAGE, SECTION, anchor, section
from sphinx.pycode import ModuleAnalyzer

import skmixed


def add_modules(app):
    """Have viewcode write the pages of private modules too."""
    modules = app.env._viewcode_modules
    for found in pkgutil.walk_packages(skmixed.__path__, "skmixed."):
        analyzer = ModuleAnalyzer.for_module(found.name)
        analyzer.find_tags()
        _, _, used, public = modules.get(found.name) or (None, None, {}, found.name)
        modules[found.name] = analyzer.code, analyzer.tags, used, public
    return ()


def link_page(app, pagename, templatename, context, doctree):
    """Turn numbers of equations and sections into links."""
    if not pagename.startswith("_modules/skmixed"):
        return
    page = app.builder.get_relative_uri(pagename, PAGE)
    known = app.env.domains.standard_domain.anonlabels

    def link(text, name):
        if name not in known:
            return text
        return f'<a class="reference internal" href="{page}#{name}">{text}</a>'

    def link_numbers(citation):
        return NUMBER.sub(lambda m: link(m[0], anchor(m[1])), citation[0])

    body = CITATION.sub(link_numbers, context["body"])
    context["body"] = SECTION.sub(lambda m: link(m[0], section(m[1])), body)


def setup(app):
    app.setup_extension("sphinx.ext.viewcode")
    before_viewcode = 400  # its own handler has 500
    app.connect("html-collect-pages", add_modules, priority=before_viewcode)
    app.connect("html-page-context", link_page)
    return {"version": "1", "parallel_read_safe": True}
