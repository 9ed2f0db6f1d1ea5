"""How large is the package, and what is its longest function?

    python docs/structure.py [folder]        (default: skmixed)

Prints, for each entry of the package and for all of it, the lines of code (without
docstrings, comments and blank lines), the dataclasses and the named numbers; then lines
and numbers of the search for variances of rows, the longest function, and the private
function with the most parameters.
tests/package/test_package.py holds the limits.
"""

import ast
import io
import sys
import tokenize
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "skmixed"
# The search of the heteroscedastic estimator: its modules, and those of one variable.
SEARCH = (
    "heteroscedastic/problem",
    "heteroscedastic/search",
    "heteroscedastic/starts",
    "trust_region",
)
OF_ONE_VARIABLE = "ratio", "roots"
DOCUMENTED = ast.Module, ast.ClassDef, ast.FunctionDef
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def modules(folder=PACKAGE):
    """Path and syntax tree of every module."""
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def functions(tree):
    """All functions and methods of a module."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def code_lines(text):
    """Number of lines of a program that are code."""
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            first = node.body[0]
            docstrings.update(range(first.lineno, first.end_lineno + 1))
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def n_dataclasses(tree):
    """Number of classes that are decorated as dataclasses."""
    decorators = [
        decorator
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
    ]
    return sum("dataclass" in ast.unparse(decorator) for decorator in decorators)


def n_constants(tree):
    """Number of module-level names in capitals that stand for a number."""
    return sum(
        isinstance(name, ast.Name) and name.id.isupper()
        for node in tree.body
        if isinstance(node, ast.Assign) and _is_numeric(node.value)
        for name in ast.walk(node.targets[0])
    )


def search_figures():
    """Code lines of the search for variances of rows, and its constants.

    Those of the search of one variable, which random intercepts need as well, count as
    lines; its constants, of rounding and of the grid, do not count.
    """
    texts = [
        (PACKAGE / "_search" / f"{name}.py").read_text()
        for name in (*SEARCH, *OF_ONE_VARIABLE)
    ]
    constants = sum(n_constants(ast.parse(text)) for text in texts[: len(SEARCH)])
    return sum(map(code_lines, texts)), constants


def _is_numeric(value):
    """Whether an expression is made of numbers only."""
    return not any(
        isinstance(node, (ast.Name, ast.Call, ast.Dict, ast.Set))
        or (isinstance(node, ast.Constant) and not isinstance(node.value, int | float))
        for node in ast.walk(value)
    )


def length(function):
    """Lines of a function without its signature and docstring."""
    has_doc = ast.get_docstring(function) is not None and len(function.body) > 1
    return function.end_lineno - function.body[1 if has_doc else 0].lineno + 1


def n_parameters(function):
    """Number of parameters, `self` and starred ones included."""
    arguments = function.args
    starred = [a for a in (arguments.vararg, arguments.kwarg) if a]
    named = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return len([*named, *starred])


def entries(folder=PACKAGE):
    """Names of the modules and packages that `ls` shows."""
    names = [path.name for path in folder.iterdir() if path.name != "__pycache__"]
    return sorted(names)


def is_private(path, function, folder=PACKAGE):
    """Whether a function, or a module or package that holds it, has a private name."""
    parts = (*path.relative_to(folder).parts, function.name)
    hidden = [part for part in parts if part.startswith("_")]
    return any(not part.startswith("__") for part in hidden)


def main(folder=PACKAGE):
    """Print the figures."""
    total = {}
    for path, tree in modules(folder):
        entry = path.relative_to(folder).parts[0]
        figures = code_lines(path.read_text()), n_dataclasses(tree), n_constants(tree)
        before = total.get(entry, (0, 0, 0))
        total[entry] = tuple(a + b for a, b in zip(before, figures, strict=True))
    total[f"{len(entries(folder))} entries"] = map(
        sum, zip(*total.values(), strict=True)
    )
    print(f"{'entry':24}{'code lines':>12}{'dataclasses':>13}{'constants':>11}")
    for entry, (lines, classes, constants) in total.items():
        print(f"{entry:24}{lines:12,}{classes:13}{constants:11}")
    if folder == PACKAGE:
        lines, constants = search_figures()
        print(
            f"search for variances of rows: {lines} code lines, {constants} constants"
        )
    every = [(path, f) for path, tree in modules(folder) for f in functions(tree)]
    path, longest = max(every, key=lambda pair: length(pair[1]))
    where = path.relative_to(folder)
    print(f"longest function: {longest.name} ({where}), {length(longest)} lines")
    private = [pair for pair in every if is_private(*pair, folder)]
    path, widest = max(private, key=lambda pair: n_parameters(pair[1]))
    where, n = path.relative_to(folder), n_parameters(widest)
    print(f"most parameters of a private function: {widest.name} ({where}), {n}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
