"""Sphinx extension: pages of the source of private modules.  Citations of the
mathematics in any source are links to it, and names of modules in the pages are links
to their source.
"""

import pkgutil
import re
from html import escape
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from equations import CITATION, NUMBER, PAGE, SECTION, anchor, section

import skmixed

# A module as the pages write it: _likelihood/factor.py.
MODULE = re.compile(r"((?:\w+/)*\w+)\.py")


def page_of(name):
    """Name of the page of a private module."""
    return "sources/" + name.replace(".", "/")


def private_modules():
    """Names of the private modules of the package."""
    names = (m.name for m in pkgutil.walk_packages(skmixed.__path__, "skmixed."))
    return [name for name in names if "._" in name and not name.endswith("__")]


def write_sources(app):
    """Pages of the source, as viewcode writes those of public modules."""
    for name in private_modules():
        code = Path(find_spec(name).origin).read_text(encoding="utf-8")
        shown = app.builder.highlighter.highlight_block(code, "python")
        body = f"<h1>Source code for {escape(name)}</h1>{shown}"
        yield page_of(name), {"title": name, "body": body}, "page.html"


def link_page(app, pagename, templatename, context, doctree):
    """Turn numbers of equations and sections in a source into links."""
    if not pagename.startswith(("_modules/", "sources/")):
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


def link_modules(app, doctree, docname):
    """Turn names of private modules into links to their source."""
    if app.builder.format != "html":
        return
    pages = {
        name.removeprefix("skmixed.").replace(".", "/"): page_of(name)
        for name in private_modules()
    }
    for node in list(doctree.findall(nodes.literal)):
        found = MODULE.fullmatch(node.astext())
        if found and found[1] in pages:
            uri = app.builder.get_relative_uri(docname, pages[found[1]])
            link = nodes.reference("", "", refuri=uri, internal=True)
            node.replace_self(link)
            link += node


def setup(app):
    app.setup_extension("sphinx.ext.viewcode")
    app.connect("doctree-resolved", link_modules)
    app.connect("html-collect-pages", write_sources)
    app.connect("html-page-context", link_page)
    return {"version": "1", "parallel_read_safe": True}
