"""The built site in a headless browser: formulas, pictures, widths, the console."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from oracles.browser import browser, missing

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
PAGES = {
    "landing": "index.html",
    "gallery": "auto_examples/gallery/plot_random_slopes.html",
    "mathematics": "math.html",
}
WIDTHS = (390, 1366)  # pixels: a phone, a laptop
SOURCES = ("_static", "_modules", "sources")  # no pages of prose
LEAST_FORMULAS = 500  # of the mathematics
# A list of what is wrong with a page at the width of a laptop.
FAULTS = """(() => {
  const all = s => Array.from(document.querySelectorAll(`article ${s}`));
  const cut = e => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1;
  return [
    ...all("img").filter(e => e.alt.length < 10).map(e => `no alt: ${e.src}`),
    ...all("img").filter(e => !e.naturalWidth).map(e => `no picture: ${e.src}`),
    ...all("table, div.math").filter(cut).map(e => `cut: ${e.outerHTML.slice(0, 99)}`),
    ...all("h1, h2, h3").filter(e => !e.nextElementSibling)
      .map(e => `nothing below: ${e.innerText}`),
    ...all("mjx-merror").map(e => `no formula: ${e.title}`),
  ];
})()"""

built = pytest.mark.skipif(
    not (SITE / "index.html").exists(),
    reason="The site is not built: python -m sphinx docs docs/_build/html",
)


@pytest.fixture(scope="module")
def page():
    if absent := missing():
        pytest.skip(f"{' and '.join(absent)} are not installed.")
    with browser() as window:
        yield window


def open_typeset(page, name, width, dark=False):
    """Open a page and wait for its formulas, if it has any."""
    page.open((SITE / PAGES.get(name, name)).as_uri(), width=width, dark=dark)
    if page.run("document.querySelectorAll('.math').length"):
        page.wait_for("document.querySelectorAll('mjx-container').length")
        page.run("void MathJax.startup.promise.then(() => { window.typeset = true })")
        page.wait_for("window.typeset === true")


@built
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_and_nothing_complains(page, name, width):
    open_typeset(page, name, width)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.errors() == []


def pages_of_the_site():
    """Names of all pages but those of the source."""
    names = (path.relative_to(SITE) for path in sorted(SITE.rglob("*.html")))
    return [n.as_posix() for n in names if n.parts[0] not in SOURCES]


@built
def test_no_page_has_a_fault(page):
    """One walk over all of them."""
    found = []
    for name in pages_of_the_site():
        open_typeset(page, name, WIDTHS[1])
        faults = page.run(FAULTS) + page.errors()
        for width in WIDTHS:
            page.resize(width)
            if page.run("document.documentElement.scrollWidth") > width:
                faults.append(f"wider than {width}")
        found += [(name, fault) for fault in faults]
    assert not found


@built
def test_the_source_leads_to_the_mathematics():
    """Pages of private modules are there, and their citations are links."""
    source = (SITE / "sources/skmixed/_likelihood/factor.html").read_text()
    assert 'href="../../../math.html#equation-' in source
    whole = (SITE / "sources/skmixed/_results/log_variance.html").read_text()
    assert 'href="../../../math.html#section-9-9"' in whole


@built
@pytest.mark.parametrize("name", PAGES)
def test_pictures_are_there_and_say_what_they_show(page, name):
    open_typeset(page, name, WIDTHS[1])
    shown = page.run(
        "Array.from(document.querySelectorAll('article img'))"
        ".map(e => [e.naturalWidth, e.alt])"
    )
    assert shown
    for width, text in shown:
        assert width > 100
        assert len(text) > 10


@built
def test_formulas_are_typeset(page):
    open_typeset(page, "mathematics", WIDTHS[1])
    assert page.run("document.querySelectorAll('mjx-container').length") > (
        LEAST_FORMULAS
    )
    assert page.run("document.querySelectorAll('mjx-merror').length") == 0
    assert page.run("document.getElementById('equation-12') !== null")
    text = page.run("document.querySelector('article').innerText")
    assert not re.search(r"\\(frac|text|sigma|begin|tag)", text)


@built
def test_dark_pages_have_light_letters(page):
    colours = {}
    for dark in (False, True):
        open_typeset(page, "mathematics", WIDTHS[1], dark)
        style = "getComputedStyle(document.querySelector('article p')).color"
        colours[dark] = sum(map(int, re.findall(r"\d+", page.run(style))[:3]))
    assert colours[True] > colours[False] + 300


class Links(HTMLParser):
    """Targets and anchors of a page."""

    def __init__(self):
        super().__init__()
        self.targets, self.anchors = set(), set()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors.update(v for k, v in attrs if k in ("id", "name") and v)
        for key in ("href", "src"):
            if values.get(key):
                self.targets.add(values[key])


def read_links(path, pages):
    if path not in pages:
        pages[path] = Links()
        pages[path].feed(path.read_text(encoding="utf-8"))
    return pages[path]


@built
def test_links_within_the_site_lead_somewhere():
    pages, broken = {}, []
    for path in sorted(SITE.rglob("*.html")):
        if "_static" in path.parts:
            continue
        for target in read_links(path, pages).targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not to.exists():
                broken.append((path.name, target))
                continue
            here = read_links(to, pages).anchors if to.suffix == ".html" else ()
            if here and parts.fragment and unquote(parts.fragment) not in here:
                broken.append((path.name, target))
    assert not broken
