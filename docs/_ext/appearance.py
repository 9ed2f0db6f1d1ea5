"""Sphinx extension: thumbnails of examples say which example they are of, and blocks of
code have no empty last line, which doctest needs and a reader does not.
"""

import re

from docutils import nodes

TITLE = re.compile(r'sphx-glr-thumbnail-title">(.*?)</div>', re.DOTALL)


def name_thumbnails(app, doctree):
    """The title that follows a thumbnail is the text that stands for it."""
    for node in doctree.findall(nodes.image):
        if "_thumb" not in node["uri"] or node.get("alt"):
            continue
        raw = node.next_node(
            lambda other: isinstance(other, nodes.raw) and TITLE.search(other.astext()),
            siblings=True,
            ascend=True,
        )
        if raw is not None:
            node["alt"] = f"Example: {TITLE.search(raw.astext())[1].strip()}"


def trim_code(app, doctree):
    """A block of code ends with its last line."""
    for node in doctree.findall(nodes.literal_block):
        if node.rawsource == node.astext():  # else it is not highlighted
            text = node.astext().rstrip()
            node.rawsource = text
            node.clear()
            node += nodes.Text(text)


def setup(app):
    app.connect("doctree-read", name_thumbnails)
    app.connect("doctree-read", trim_code)
    return {"version": "1", "parallel_read_safe": True}
