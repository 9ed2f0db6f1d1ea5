"""Is a small change of the code noticed by the tests of its stage?

    python docs/studies/reliability/mutations.py [n_changes seed first last]

Draws places of the syntax tree of `_rows`, `_likelihood`, `_search` and `_results`, as
many of each kind (a sign, a factor, a branch, a bound or an index off by one).  Each
change is made alone in a copy of the package, and the tests of the same stage are run
until one fails.  Prints the changes with the test that noticed each, and the count;
`first` and `last` choose some of them.
`SEEN` lists the changes that cannot be noticed by a right result, with the reason; they
are left out.
"""

import ast
import copy
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# All that the tests import and that takes time.
BEFORE = ("scipy.stats", "sklearn.ensemble", "pandas", "polars", "dask")
STAGES = ("_rows", "_likelihood", "_search", "_results")
LIMIT = 900  # seconds: a change that makes the tests hang is noticed
KINDS = ("sign", "factor", "branch", "off by one")
SIGNS = {ast.Add: ast.Sub, ast.Sub: ast.Add}
FACTORS = {ast.Mult: ast.Div, ast.Div: ast.Mult}
BOUNDS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
# (module, function, before, after): reason.
SEEN = {}


@dataclass(frozen=True)
class Change:
    """A change of one expression.

    Attributes
    ----------
    path : str
        Of the module, from the root.
    function : str
    line : int
    kind : str
    start, end : int
        Of the expression, in bytes of the module.
    before, after : str
        The expression.
    """

    path: str
    function: str
    line: int
    kind: str
    start: int
    end: int
    before: str
    after: str

    @property
    def key(self):
        """What `SEEN` knows it by."""
        return self.path, self.function, self.before, self.after

    def apply(self, text):
        """The changed module, from its text in bytes."""
        return text[: self.start] + f"({self.after})".encode() + text[self.end :]


def variants(node):
    """(kind, changed node) of an expression."""
    if isinstance(node, ast.BinOp) and type(node.op) in SIGNS:
        yield "sign", _with(node, op=SIGNS[type(node.op)]())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", node.operand
    if isinstance(node, ast.BinOp) and type(node.op) in FACTORS:
        yield "factor", _with(node, op=FACTORS[type(node.op)]())
        for side in ("left", "right"):
            if isinstance(getattr(node, side), ast.Constant):
                other = "right" if side == "left" else "left"
                if isinstance(node.op, ast.Mult) or side == "right":
                    yield "factor", getattr(node, other)
    if isinstance(node, ast.IfExp):
        yield "branch", _with(node, body=node.orelse, orelse=node.body)
    if isinstance(node, ast.BoolOp):
        op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "branch", _with(node, op=op)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        op = type(node.ops[0])
        if op in BOUNDS:
            yield "off by one", _with(node, ops=[BOUNDS[op]()])
        yield "branch", ast.UnaryOp(ast.Not(), node)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield "off by one", ast.Constant(node.value + 1)


def _with(node, **fields):
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def changes(root, path):
    """All changes of the functions of a module; messages are left out."""
    text = path.read_bytes()
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    found = []

    def visit(node, function):
        if isinstance(node, (ast.Raise, ast.JoinedStr, ast.arguments)):
            return
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            function = f"{function}.{node.name}".lstrip(".")
        if isinstance(node, ast.expr) and function:
            start = lines[node.lineno - 1] + node.col_offset
            end = lines[node.end_lineno - 1] + node.end_col_offset
            about = str(path.relative_to(root)), function, node.lineno
            for kind, changed in variants(node):
                after = ast.unparse(ast.fix_missing_locations(changed))
                before = ast.unparse(node)
                found.append(Change(*about, kind, start, end, before, after))
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(text), "")
    return found


def draw(root, n, seed):
    """n changes, as many of each kind, in the order in which they are drawn."""
    every = [
        change
        for stage in STAGES
        for path in sorted((root / "skmixed" / stage).glob("*.py"))
        for change in changes(root, path)
        if change.key not in SEEN
    ]
    rng = random.Random(seed)
    rng.shuffle(every)
    kinds = {kind: [each for each in every if each.kind == kind] for kind in KINDS}
    return [kinds[KINDS[i % len(KINDS)]][i // len(KINDS)] for i in range(n)]


def run_tests(root, path):
    """The first test of a module's stage that fails; None if none does.

    Tests of a file of the module's name are run first, in a process that has imported
    all but the package.
    """
    _, stage, module = Path(path).parts
    files = sorted((root / "tests" / stage.strip("_")).glob("test_*.py"))
    files.sort(key=lambda file: file.name != f"test_{module}")
    output = root / "output.txt"
    child = multiprocessing.get_context("fork").Process(
        target=_pytest, args=(root, list(map(str, files)), output)
    )
    child.start()
    child.join(LIMIT)
    if child.is_alive():
        child.kill()
        child.join()
        return f"more than {LIMIT} s"
    if child.exitcode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output.read_text(), re.M)
    if failed is None:
        sys.exit(output.read_text())
    return failed[1]


def _pytest(root, files, output):
    """Run the tests of some files with the package in `root`, and exit by them."""
    sys.path.insert(0, str(root))
    os.chdir(root)
    os.environ |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    with output.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "--tb=no", *files])
        sys.exit(int(code))


def main(n_changes=60, seed=1, first=1, last=None):
    """Print the changes, the test that noticed each, and how many were noticed."""
    n_noticed = 0
    for name in BEFORE:
        import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ignore = shutil.ignore_patterns("__pycache__")
        for name in ("skmixed", "tests", "docs"):
            shutil.copytree(ROOT / name, root / name, ignore=ignore)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, root / name)
        drawn = draw(root, n_changes, seed)[first - 1 : last]
        for i, change in enumerate(drawn):
            path = root / change.path
            text = path.read_bytes()
            path.write_bytes(change.apply(text))
            failed = run_tests(root, change.path)
            path.write_bytes(text)
            n_noticed += failed is not None
            print(f"{first + i:3d} {change.kind}: {change.path}:{change.line}")
            print(f"      {change.before}  ->  {change.after}")
            print(f"      {failed or 'NOT NOTICED'}", flush=True)
    print(f"{n_noticed} of {len(drawn)} noticed")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
