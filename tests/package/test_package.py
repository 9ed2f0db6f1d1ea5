"""The package as a whole: its layers, its documentation, its examples."""

import ast
import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
import sklearn
from oracles.studies import load

import skmixed

PACKAGE = Path(skmixed.__file__).parent
ROOT = Path(__file__).parents[2]

# A stage imports only from itself and from those before it.
STAGES = (
    "_input",
    "_rows",
    "_likelihood",
    "_search",
    "_results",
    "_estimator",
    "random_intercept",
    "heteroscedastic",
    "linear_mixed",
    "_evaluation",
    "metrics",
    "model_selection",
    "mixed_effects",
    "inspection",
    "inference",
    "formula",
)
MAY_IMPORT = {
    "joblib": {"_input.blocks"},
    "threadpoolctl": {"_rows.threads"},
    "sklearn": {
        "_input",
        "_estimator",
        "random_intercept",
        "heteroscedastic",
        "linear_mixed",
        "_evaluation",
        "metrics",
        "model_selection",
        "mixed_effects",
        "inspection",
    },
}
LONGEST_FUNCTION = 40  # lines, without the docstring
MOST_SEARCH_LINES, MOST_SEARCH_CONSTANTS = 500, 10  # of the search for log-variances
MOST_PARAMETERS = 8  # of a function that is not public
LONGEST_LINE = 110  # of the pages about the package itself
structure = load("structure", "")

A_SCREEN = 60  # lines of a page

MODULES = [
    module.name for module in pkgutil.walk_packages(skmixed.__path__, "skmixed.")
]


def trees():
    return structure.modules(PACKAGE)


def imports(tree):
    """(module, names) of every import; relative ones begin with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            yield "." * node.level + (node.module or ""), names
        elif isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)


def stage(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def absolute(path, module):
    """The module of skmixed that a relative import names."""
    level = len(module) - len(module.lstrip("."))
    package = path.relative_to(PACKAGE).parts[:-level]
    return (*package, *module.strip(".").split("."))


def test_stages_import_only_from_those_before():
    entries = {stage(path) for path, _ in trees()} - {"__init__", "datasets"}
    assert entries == set(STAGES)
    for path, tree in trees():
        here = stage(path)
        if here not in STAGES:
            continue
        before = STAGES[: STAGES.index(here) + 1]
        for module, _ in imports(tree):
            if module.startswith("."):
                from_stage = absolute(path, module)[0]
                assert from_stage in before, f"{path} imports {module}"
            top = module.split(".")[0]
            itself = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            found = {here, itself} & MAY_IMPORT.get(top, {here})
            assert found, f"{path}: {module}"


def test_modules_of_a_stage_do_not_import_each_other_in_a_circle():
    wanted = {}
    for path, tree in trees():
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        named = [absolute(path, m) for m, _ in imports(tree) if m.startswith(".")]
        wanted[parts] = {name for name in named if name[0] == parts[0]}
    while free := [name for name in wanted if not wanted[name] & wanted.keys()]:
        for name in free:
            del wanted[name]
    assert not wanted


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def programs():
    """Everything that is run: modules, examples, and what docs and docstrings show."""
    for folder in (PACKAGE, ROOT / "examples", ROOT / "docs"):
        for path in sorted(folder.rglob("*.*")):
            if path.suffix in (".py", ".md", ".rst"):
                text = path.read_text()
                shown = doctest.DocTestParser().get_examples(text)
                yield path, text if path.suffix == ".py" else ""
                yield path, "".join(example.source for example in shown)


def names_asked_for(tree):
    """Attributes, by a dot or by a string, and parts of modules named by strings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(
            node.func, ast.Name | ast.Attribute
        ):
            name = getattr(node.func, "id", None) or node.func.attr
            if name in ("getattr", "hasattr", "attrgetter", "import_module"):
                texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
                yield from (part for text in texts for part in str(text).split("."))


def names_defined(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def private_names(text, own):
    """Names that a program takes from other packages by a private name."""
    tree = ast.parse(text)
    for module, names in imports(tree):
        if not module.startswith((".", "skmixed")):
            yield from filter(is_private, (*module.split("."), *names))
    yield from {name for name in names_asked_for(tree) if is_private(name)} - own


def test_only_public_names_of_other_packages():
    own = {name for _, tree in trees() for name in names_defined(tree)}
    own |= {"_repr_html_"}  # the notebook's protocol
    for path, text in programs():
        private = list(private_names(text, own | set(names_defined(ast.parse(text)))))
        assert not private, f"{path}: {private}"


@pytest.mark.parametrize(
    "program",
    [
        "import sklearn.utils._tags",
        "from sklearn.utils import _tags",
        "from scipy._lib import doccer",
        "import numpy as np; np._core",
        "import joblib; getattr(joblib.parallel, '_backend')",
        "import importlib; importlib.import_module('sklearn._loss')",
        "model._validate_data(X)",
    ],
)
def test_a_private_name_would_be_found(program):
    assert list(private_names(program, own={"_read_new"}))


def test_no_test_ignores_whatever_may_come():
    """An ignored warning is named by its message, or by a category of ours."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", "")
            values = [a.value for a in node.args if isinstance(a, ast.Constant)]
            if name == "simplefilter" and values[0] == "ignore":
                assert len(node.args) == 2, f"{path.name}, line {node.lineno}"
            if name == "filterwarnings" and str(*values[:1]).startswith("ignore"):
                _, *fields = values[0].split(":")
                named = any(fields[:1]) or "skmixed" in values[0] or values[1:2]
                assert named, f"{path.name}, line {node.lineno}"


def test_no_test_is_named_after_a_set(request):
    """Sets have another order in each process, whose tests would be other ones."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if getattr(getattr(node, "func", None), "attr", "") == "parametrize":
                values = node.args[1]
                is_set = isinstance(values, ast.Set | ast.SetComp)
                is_set |= ast.unparse(values).startswith(("set(", "frozenset("))
                assert not is_set, f"{path}, line {node.lineno}"
    for item in request.session.items:
        values = getattr(item, "callspec", None) and item.callspec.params.values()
        kinds = {type(value) for value in values or ()}
        assert not kinds & {set, frozenset}, item.nodeid


def test_functions_fit_on_a_screen_and_take_few_parameters():
    for path, tree in trees():
        for function in structure.functions(tree):
            n_lines, n = structure.length(function), structure.n_parameters(function)
            assert n_lines <= LONGEST_FUNCTION, f"{path}: {function.name}: {n_lines}"
            if structure.is_private(path, function, PACKAGE):
                assert n <= MOST_PARAMETERS, f"{path}: {function.name}: {n}"


def test_the_search_for_variances_of_rows_stays_small():
    lines, constants = structure.search_figures()
    assert lines <= MOST_SEARCH_LINES
    assert constants <= MOST_SEARCH_CONSTANTS


def test_what_counts_as_code():
    program = '''"""A docstring."""

# A comment.
def f(a, *, b=1, **c):
    """One more.

    Of three lines.
    """
    return {
        "text": """
        that is code
        """
    }
'''
    (function,) = structure.functions(ast.parse(program))
    assert structure.code_lines(program) == 6
    assert structure.length(function) == 5
    assert structure.n_parameters(function) == 3
    constants = "A, B = 1.0, -2\nC = 1 << 20\nD = 'd'\ne = 3\nF = A * 2"
    assert structure.n_constants(ast.parse(constants)) == 3


RIDDLE = re.compile(r"(What|How|Where|Of)\b")


def sentences(path, tree):
    """Docstrings and comments of a module, those of several lines as one."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
    yield from (ast.get_docstring(node) or "" for node in nodes)
    last = None
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type != tokenize.COMMENT:
                continue
            line, alone = token.start[0], token.line.strip().startswith("#")
            if not alone or line - 1 != last:
                yield token.string.lstrip("# ")
            last = line if alone else None


def test_sentences_begin_with_a_subject():
    """No docstring and no comment begins with What, How, Where or Of."""
    for path, tree in trees():
        for sentence in sentences(path, tree):
            assert not RIDDLE.match(sentence), f"{path}: {sentence}"


def texts():
    """Programs and pages of the repository, by their paths."""
    yield ROOT / "README.md"
    for folder in ("skmixed", "tests", "docs", "examples"):
        for path in sorted((ROOT / folder).rglob("*")):
            is_built = "_build" in path.parts or "auto_examples" in path.parts
            if path.suffix in {".py", ".md", ".rst", ".R"} and not is_built:
                yield path


def test_no_sentence_begins_with_what():
    """The noun is named: "The rest is", where "What" and "is left is" would do."""
    begins = re.compile(r'(^\s*|[.:?!] |"""|[#*|-] |\.\*\* )What [a-z]', re.MULTILINE)
    found = [
        path for path in texts() if begins.search(path.read_text(encoding="utf-8"))
    ]
    assert not found


PACKAGES = sorted(path.parent for path in PACKAGE.glob("_*/**/__init__.py"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_docstring_of_a_package_names_its_modules(package):
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
    named = set(re.findall(r"\w+", text.split("\n\n", 2)[2]))
    inside = {path.stem for path in package.iterdir()} - {"__init__", "__pycache__"}
    assert inside <= named
    assert len(text.splitlines()) <= 15


@pytest.mark.parametrize("page", ["design", "math", "programs"])
def test_modules_that_a_page_names_exist(page):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    if page != "programs":  # which is tables
        assert max(map(len, text.splitlines())) <= LONGEST_LINE
    named = re.findall(r"`([\w/.]+\.(?:py|R))`", text)
    assert len(named) >= 5
    for name in named:
        places = [ROOT / name, PACKAGE / name, *PACKAGE.glob(f"*/{name}")]
        places += (ROOT / "docs").rglob(name) if "/" not in name else []
        assert any(place.exists() for place in places), name


CITATION = re.compile(r"math\.md((?:,?\s*(?:and|to)?\s*\(\d+[a-z]?\))+)")
RANGE = re.compile(r"\((\d+[a-z]?)\)\s*to\s*\((\d+[a-z]?)\)")


def equations():
    """Numbers of the equations of docs/math.md, in their order."""
    page = (ROOT / "docs" / "math.md").read_text()
    return re.findall(r"\\tag\{(\d+[a-z]?)\}", page)


def cited(folder):
    """Numbers that programs cite, as "math.md (3)", "(3) and (4)" or "(3) to (5)"."""
    known, found = equations(), set()
    for path in folder.rglob("*.py"):
        text = re.sub(r"\n\s*#?\s*", " ", path.read_text())
        for citation in CITATION.findall(text):
            found.update(re.findall(r"\((\d+[a-z]?)\)", citation))
            for first, last in RANGE.findall(citation):
                found.update(known[known.index(first) : known.index(last) + 1])
    return found


@pytest.mark.parametrize("folder", [PACKAGE, ROOT / "tests"], ids=["code", "tests"])
def test_every_equation_is_cited(folder):
    """By the function that computes it, and by a test that holds it."""
    known, found = equations(), cited(folder)
    assert len(known) == len(set(known)) > 40
    assert found <= set(known), found - set(known)
    assert set(known) == found, sorted(set(known) - found)


def test_every_program_is_on_the_page_of_programs():
    page = (ROOT / "docs" / "programs.md").read_text()
    for path in sorted((ROOT / "docs").rglob("*.*")):
        runs = path.suffix == ".py" and "__main__" in path.read_text()
        if (runs or path.suffix == ".R") and path.parent.name != "adapters":
            assert path.name in page, path


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_the_estimator_has_an_example():
    module = sys.modules["skmixed.random_intercept"]
    assert doctest.testmod(module).attempted >= 6


LONGEST_README = 150  # lines


def test_readme_runs():
    page = ROOT / "README.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert len(page.read_text().splitlines()) <= LONGEST_README
    assert result.attempted >= 10
    assert result.failed == 0


def test_the_page_on_groups_runs():
    with sklearn.config_context():  # it switches routing on and off
        page = ROOT / "docs" / "groups.md"
        result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted >= 40
    assert result.failed == 0


@pytest.mark.parametrize(
    "name, least",
    [
        ("uncertainty", 10),
        ("coming_from_r", 7),
        ("user_guide", 12),
        ("training", 20),
        ("any_mean", 5),
        ("ten_minutes", 30),
    ],
    ids=str,
)
def test_a_page_runs(name, least):
    page = ROOT / "docs" / f"{name}.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted >= least
    assert result.failed == 0


HOW_TO = sorted((ROOT / "docs" / "howto").glob("*.md"))


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_a_how_to_runs(page):
    result = doctest.testfile(str(page), module_relative=False)
    assert result.failed == 0
    assert result.attempted >= 10 or page.stem == "index"
    assert len(page.read_text().splitlines()) <= A_SCREEN


@pytest.mark.parametrize(
    "program, page",
    [("compare_models", "docs/groups.md"), ("one_hot_or_trees", "README.md")],
    ids=["groups", "readme"],
)
def test_the_comparison_prints_what_the_page_shows(program, page):
    """Up to scikit-learn's folds of new groups, and trees that grow otherwise."""
    printed = run_python(ROOT / "examples" / f"{program}.py").splitlines()
    shown = re.search(
        r"( {4}known groups: .*?)\n\n[^ ]", (ROOT / page).read_text(), re.S
    )
    lines = [line[4:] for line in shown[1].splitlines()]
    assert len(printed) == len(lines)
    for got, line in zip(printed, lines, strict=True):
        words, expected = got.split(), line.split()
        assert len(words) == len(expected)
        for word, other in zip(words, expected, strict=True):
            if other.replace(".", "").isdigit():
                assert abs(float(word) - float(other)) < 0.05, line
            elif not other.endswith("%"):
                assert word == other, line


def test_quickstart_prints_what_the_readme_shows(tmp_path):
    script = tmp_path / "quickstart.py"
    script.write_text((ROOT / "examples" / "quickstart.py").read_text())
    # A warning on a reader's first command would be an error of ours.
    printed = run_python("-W", "error::UserWarning", script)
    shown = re.search(
        r"( {4}reaction = .*?)\n\n[^ ]", (ROOT / "README.md").read_text(), re.S
    )
    lines = [line[4:] for line in shown[1].splitlines()]
    assert printed.splitlines()[: len(lines)] == lines
    assert (tmp_path / "quickstart.png").stat().st_size > 10_000


def test_data_files_are_installed():
    names = {path.name for path in (PACKAGE / "datasets").rglob("*.*")}
    assert {"sleepstudy.csv", "oxboys.csv", "grunfeld.csv", "hsb82.csv"} <= names
    assert {"sleepstudy.rst", "machines.rst", "hsb82.rst"} <= names
    assert (PACKAGE / "py.typed").exists()


def test_the_version_is_in_one_place():
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("scikit-mixed")
    except PackageNotFoundError:  # a checkout on the path
        installed = skmixed.__version__
    assert installed == skmixed.__version__


def run_python(*arguments, cwd=None):
    """Output of a fresh interpreter that finds the package under test."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, *arguments]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment, cwd=cwd
    )
    return run.stdout


def test_optional_dependencies_are_imported_where_used():
    """Importing the package loads no more of them than scikit-learn does."""
    code = (
        "import sys, {};"
        "print([m for m in ('pandas', 'matplotlib', 'polars') if m in sys.modules])"
    )
    ours = run_python("-c", code.format("skmixed, skmixed.datasets"))
    assert ours == run_python("-c", code.format("sklearn.linear_model"))
