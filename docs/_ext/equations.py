r"""Sphinx extension: the numbered equations of the mathematics page, and MathJax.

An equation is ``$$ ... \tag{12} $$`` in ``math.md``.  It becomes the anchor
``equation-12``; "(12)" on that page, and "math.md (12)" on any other one and in a
docstring, become links to it.  A section "9.4 ..." of that page becomes the anchor
``section-9-4``, and "math.md, 9.4" a link to it.  MathJax comes from the package
sphinx-mathjax-offline and is copied beside the pages, which need no network.
"""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

PAGE = "math"
TAG = re.compile(r"\\tag\{(\w+)\}")
NUMBER = re.compile(r"\((\d+[a-z]?)\)")
CITATION = re.compile(r"math\.md(?:,?\s*(?:and|to)?\s*\(\d+[a-z]?\))+")
SECTION = re.compile(r"math\.md, (?:section )?(\d+(?:\.\d+)?)")
NAMED = re.compile(f"{NUMBER.pattern}|{SECTION.pattern}")
HEADING = re.compile(r"(\d+(?:\.\d+)?)\.? ")
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2")


def anchor(number):
    return f"equation-{number}"


def section(number):
    return f"section-{number.replace('.', '-')}"


def number_sections(app, doctree):
    """Anchors for the numbered sections of the page."""
    if app.env.docname != PAGE:
        return
    anchors = app.env.domains.standard_domain.anonlabels
    for node in doctree.findall(nodes.section):
        if found := HEADING.match(node.next_node(nodes.title).astext()):
            name = section(found[1])
            node["ids"].append(name)
            anchors[name] = (PAGE, name)


def number_equations(app, doctree):
    """Anchors for the tagged equations of the page, which MathJax sees as they are."""
    anchors = app.env.domains.standard_domain.anonlabels
    for node in doctree.findall(nodes.math_block):
        found = TAG.search(node.astext())
        if not found:
            continue
        text = rf"\begin{{equation}}{node.astext().strip()}\end{{equation}}"
        node.children = [nodes.Text(text)]
        node["no-wrap"] = node["nowrap"] = True  # the second until Sphinx 8.1
        if app.env.docname == PAGE:
            name = anchor(found[1])
            node["ids"].append(name)
            anchors[name] = (PAGE, name)


def link(text, name):
    """Return a reference to an equation or a section."""
    target = {"reftarget": name, "refdoc": "", "refwarn": True}
    kind = {"refdomain": "std", "reftype": "ref", "refexplicit": True}
    return addnodes.pending_xref("", nodes.inline("", text), **target, **kind)


def pieces(text, numbers):
    """Split a text into plain text and links to equations and sections that it names;
    `numbers` are those of the equations.
    """
    start = 0
    for match in NAMED.finditer(text):
        if match[1] and match[1] not in numbers:
            continue
        yield nodes.Text(text[start : match.start()])
        yield link(match[0], anchor(match[1]) if match[1] else section(match[2]))
        start = match.end()
    yield nodes.Text(text[start:])


def link_citations(app, doctree):
    """Turn the numbers of equations into links."""
    skipped = nodes.literal, nodes.math, nodes.title, nodes.literal_block
    page = app.env.docname == PAGE
    tags = [TAG.search(n.astext()) for n in doctree.findall(nodes.math_block)]
    own = {tag[1] for tag in tags if tag}
    for node in list(doctree.findall(nodes.Text)):
        if isinstance(node.parent, (*skipped, nodes.reference)):
            continue
        text = node.astext()
        spans = [text] if page else CITATION.findall(text)
        numbers = {n for span in spans for n in NUMBER.findall(span)}
        if page:
            numbers &= own
        if numbers or SECTION.search(text):
            new = list(pieces(text, numbers))
            for reference in new:
                if isinstance(reference, addnodes.pending_xref):
                    reference["refdoc"] = app.env.docname
            node.parent.replace(node, new)


def copy_mathjax(app, exception):
    """Put the part of MathJax that the pages use beside them."""
    if exception or app.builder.format != "html":
        return
    (place,) = find_spec("sphinx-mathjax-offline").submodule_search_locations
    source = Path(place) / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    for name in MATHJAX:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)


def setup(app):
    app.setup_extension("sphinx.ext.mathjax")
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("doctree-read", link_citations)
    app.connect("doctree-read", number_equations)
    app.connect("doctree-read", number_sections)
    app.connect("build-finished", copy_mathjax)
    return {"version": "1", "parallel_read_safe": True}
