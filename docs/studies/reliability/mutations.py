"""Is a small change of the code noticed by the tests of its stage?

    python docs/studies/reliability/mutations.py [n_changes seed stage ...]

Draws places of the syntax tree of `_rows`, `_likelihood`, `_search` and `_results`, as
many of each kind (a sign, a factor, a branch, a bound or an index off by one).  The
order in which they are drawn depends on each change alone, so that it stays when the
code changes elsewhere.  Each change is made alone in a copy of the package; the tests
of the same stage that execute its lines, which are known from a first run under
`coverage`, are run until one fails, those that take the least time first.

Every result is written at once to `results/mutations.jsonl`, and changes that this file
has are not run again; stages can be named, and run side by side.  Prints all changes
of the file with the test that noticed each, and the count.  `EQUIVALENT` lists the
changes that a right result cannot show, with the reason; they are left out, and others
drawn.
"""

import ast
import copy
import hashlib
import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RESULTS = Path(__file__).parent / "results" / "mutations.jsonl"
# All that the tests import and that takes time.
BEFORE = ("scipy.stats", "sklearn.ensemble", "pandas", "polars", "dask")
STAGES = ("_rows", "_likelihood", "_search", "_results")
# Seconds of CPU above those of the tests, and how many times more may pass: a change
# that makes them hang is noticed.
LIMIT, PATIENCE = 120, 10
KINDS = ("sign", "factor", "branch", "off by one")
SIGNS = {ast.Add: ast.Sub, ast.Sub: ast.Add}
FACTORS = {ast.Mult: ast.Div, ast.Div: ast.Mult}
BOUNDS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
# (module, function, before, after, how many equal ones are before it): reason.
EQUIVALENT = {
    (
        "skmixed/_search/covariances.py",
        "random_starts",
        "2",
        "3",
        0,
    ): "Random starts are drawn from another distribution of the same spread.",
    (
        "skmixed/_likelihood/ratio_posterior.py",
        "_above",
        "np.ceil((high - low) / STEP) + 1",
        "np.ceil((high - low) / STEP) - 1",
        0,
    ): "The trapezoidal rule has two nodes fewer than it needs for all its digits.",
    (
        "skmixed/_likelihood/mixture.py",
        "_quantile",
        "step < NEWTON",
        "step <= NEWTON",
        0,
    ): "One more step is free to leave the bisection; the root is the same.",
    (
        "skmixed/_likelihood/crossed.py",
        "CrossedFactor.variates",
        "k > 1",
        "k >= 1",
        0,
    ): "Both branches are the same product; one of them is faster for one column.",
    (
        "skmixed/_search/covariances.py",
        "settle",
        "-1",
        "1",
        3,
    ): "The third step is a plain one and no secant, to the same noise variance.",
    (
        "skmixed/_search/race.py",
        "race",
        "runner.point.value < best.point.value",
        "runner.point.value <= best.point.value",
        0,
    ): "A search whose value is that of the best optimum has come there.",
    (
        "skmixed/_search/covariances.py",
        "best_of_starts",
        "free.value < best.point.value",
        "free.value <= best.point.value",
        0,
    ): "Free effects of the very value of the optimum lead nowhere else.",
    (
        "skmixed/_search/covariances.py",
        "_is_settled",
        "last * before",
        "last / before",
        0,
    ): "The sign is the same, which is all that counts.",
    (
        "skmixed/_search/covariances.py",
        "lifted",
        "Lambda + least * covariance.root(np.diag(none.astype(float)))",
        "Lambda - least * covariance.root(np.diag(none.astype(float)))",
        0,
    ): "Columns of the other sign are a root of the same covariance.",
    (
        "skmixed/_rows/crossed.py",
        "Links.is_dense",
        "n_levels * d ** 2",
        "n_levels / d ** 2",
        0,
    ): "Dense rows and pairs of links have the same sums, in other time.",
}


@dataclass(frozen=True)
class Change:
    """A change of one expression.

    Attributes
    ----------
    path : str
        Of the module, from the root.
    function : str
    line, last : int
        The lines of the expression.
    kind : str
    start, end : int
        Of the expression, in bytes of the module.
    before, after : str
        The expression.
    number : int
        How many changes of the same text stand before it in the function.
    """

    path: str
    function: str
    line: int
    last: int
    kind: str
    start: int
    end: int
    before: str
    after: str
    number: int = 0

    @property
    def stage(self):
        """The package that the module is in."""
        return Path(self.path).parts[1]

    @property
    def key(self):
        """The same for all equal changes of a function."""
        return self.path, self.function, self.before, self.after

    @property
    def name(self):
        """The text by which results know it."""
        return json.dumps([*self.key, self.number])

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
            about = str(path.relative_to(root)), function, node.lineno, node.end_lineno
            for kind, changed in variants(node):
                after = ast.unparse(ast.fix_missing_locations(changed))
                before = ast.unparse(node)
                one = Change(*about, kind, start, end, before, after)
                number = sum(one.key == other.key for other in found)
                found.append(replace(one, number=number))
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
        if (*change.key, change.number) not in EQUIVALENT
    ]

    def lot(change):
        return hashlib.sha256(f"{seed} {change.name}".encode()).hexdigest()

    every.sort(key=lot)
    kinds = {kind: [each for each in every if each.kind == kind] for kind in KINDS}
    return [kinds[KINDS[i % len(KINDS)]][i // len(KINDS)] for i in range(n)]


# ---------------------------------------------------------------------------- the tests


class Recorder:
    """Notes which test executes which line, and how long it takes.

    Attributes
    ----------
    seconds : dict
        By test.
    """

    def __init__(self, coverage):
        self.coverage = coverage
        self.seconds = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        """Lines are those of the test that runs, its fixtures included."""
        self.coverage.switch_context(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report):
        """Seconds of a test, its fixtures left out."""
        if report.when == "call":
            self.seconds[report.nodeid] = report.duration


class Chosen:
    """Leaves the tests of a list, in its order."""

    def __init__(self, tests):
        self.place = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items):
        """Called by pytest."""
        items[:] = sorted(
            (item for item in items if item.nodeid in self.place),
            key=lambda item: self.place[item.nodeid],
        )


def in_child(root, function, *args, limit=None):
    """The exit code of a process that has imported all but the package; it is ended
    after `limit` seconds.
    """
    child = multiprocessing.get_context("fork").Process(
        target=_enter, args=(root, function, *args)
    )
    child.start()
    child.join(limit)
    child.kill()
    child.join()
    return child.exitcode


def _enter(root, function, *args):
    sys.path.insert(0, str(root))
    os.chdir(root)
    os.environ |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    with (root / "output.txt").open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        sys.exit(int(function(root, *args)))


OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "--tb=no", "-rfE")


def record(root, stage):
    """Run all tests of a stage, and store which of them execute which line."""
    from coverage import Coverage

    coverage = Coverage(data_file=None, source=[str(root / "skmixed" / stage)])
    recorder = Recorder(coverage)
    coverage.start()
    tests = str(root / "tests" / stage.strip("_"))
    code = pytest.main([*OPTIONS, tests], plugins=[recorder])
    coverage.stop()
    data, lines = coverage.get_data(), {}
    for file in data.measured_files():
        path = str(Path(file).relative_to(root))
        lines[path] = {
            line: [test for test in tests if test]
            for line, tests in data.contexts_by_lineno(file).items()
        }
    found = {"seconds": recorder.seconds, "lines": lines}
    (root / f"{stage}.json").write_text(json.dumps(found))
    return code


def attempt(root, tests, seconds):
    """Run some tests until one fails, within some seconds of CPU."""
    limit = int(seconds + LIMIT)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    files = sorted({test.partition("::")[0] for test in tests})
    return pytest.main([*OPTIONS, *files], plugins=[Chosen(tests)])


def noticed(root, change):
    """The first test of a change's stage that fails; None if none does."""
    known = json.loads((root / f"{change.stage}.json").read_text())
    seconds, lines = known["seconds"], known["lines"].get(change.path, {})
    tests = {
        test
        for line in range(change.line, change.last + 1)
        for test in lines.get(str(line), [])
    }
    if not tests:  # only workers execute these lines, or an import does, or no test
        own = f"test_{Path(change.path).name}::"
        tests = [test for test in seconds if own in test]
    if not tests:
        return None
    tests = sorted(tests, key=lambda test: seconds.get(test, 0.0))
    least = sum(seconds.get(test, 0) for test in tests)
    patience = PATIENCE * (least + LIMIT)
    code = in_child(root, attempt, tests, least, limit=patience)
    if code == 0:
        return None
    output = (root / "output.txt").read_text()
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.M)
    if code < 0 or failed:
        return failed[1] if failed else f"ended by signal {-code}"
    sys.exit(output)


# -------------------------------------------------------------------------- the results


def stored():
    """The test that noticed each change, or None, by the name of the change."""
    if not RESULTS.exists():
        return {}
    lines = map(json.loads, RESULTS.read_text().splitlines())
    return {json.dumps(line["change"]): line["noticed"] for line in lines}


def run(root, drawn):
    """Run the changes that have no result yet, stage by stage, and store results."""
    waiting = defaultdict(list)
    for change in drawn:
        if change.name not in stored():
            waiting[change.stage].append(change)
    for stage, some in waiting.items():
        if in_child(root, record, stage):
            sys.exit((root / "output.txt").read_text())
        for change in some:
            path = root / change.path
            text = path.read_bytes()
            path.write_bytes(change.apply(text))
            found = noticed(root, change)
            path.write_bytes(text)
            line = {"change": json.loads(change.name), "noticed": found}
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{change.path}:{change.line} {found}", flush=True)


def report():
    """Print all changes that have a result, and how many were noticed."""
    found = [(json.loads(name), test) for name, test in stored().items()]
    for (path, function, before, after, _), test in found:
        print(f"{path}, {function}: {before}  ->  {after}")
        print(f"      {test or 'NOT NOTICED'}")
    for stage in (*STAGES, ""):
        some = [test for (path, *_), test in found if stage in path]
        n_noticed = len(some) - some.count(None)
        print(f"{stage or 'all':12} {n_noticed:3d} of {len(some)} noticed")


def main(n_changes=60, seed=1, *stages):
    """Run the changes of some stages, or of all, and report all results."""
    for name in BEFORE:
        import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        ignore = shutil.ignore_patterns("__pycache__", "_build")
        for name in ("skmixed", "tests", "docs"):
            shutil.copytree(ROOT / name, root / name, ignore=ignore)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, root / name)
        drawn = draw(root, n_changes, seed)
        run(root, [each for each in drawn if each.stage in (stages or STAGES)])
    report()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
