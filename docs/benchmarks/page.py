"""Make the page of benchmarks from the results.

    python docs/benchmarks/page.py [--results FOLDER] [--page FILE]

Nothing on the page is written by hand but the sentences that say what is measured; what
we lose is found in the results.  Draws the plot too where matplotlib is installed.
"""

import argparse
import os
from pathlib import Path

import plot
import turns_page
from problems import PROBLEMS
from results import RESULTS, growth, median, pair_ratio, read

PAGE = RESULTS.parents[1] / "benchmarks.md"
SAME = 1e-3  # log-likelihoods that differ by less are the same
RESOLUTION = 1e6  # bytes
LOWER_BOUNDS = ("cross_product", "sum_x")  # nobody fits a model in that time

IN_TURNS = """## In turns

Programs that take turns within one process on the same data, printed by
`docs/benchmarks/turns.py`: the first turn does not count, *over ours* is the median of
the ratios of single turns, and their quartiles stand beside it. With one thread each it
is the ratio of CPU seconds, because other programs were at work on the machine; with
the number of threads that each chooses, on two cores, that of seconds on the wall.
There *CPU s* has threads of the program before, which spin for a while. Packages are
given the data in the form that they like best, arrays where they take them, and
bringing the data there is not counted; our time includes reading the labels. *Memory*
is by how much the resident memory rises during the fit at most, with one thread.
`interlace`, another package, is not on the package index.
"""
INTRODUCTION = """## Each in a process of its own

Made from `docs/benchmarks/results/`, which `run.py` writes; the whole page is made by
`page.py`:

    python docs/benchmarks/turns.py && python docs/benchmarks/run.py
    python docs/benchmarks/page.py

Each run is a process of its own that makes the data, warms up on a small problem of the
same kind, and times one fit; tables have the median. Packages are given the data in the
form that they like best and use their own defaults; bringing the data there, imports
and, for R, reading the rows are not counted. Our time includes reading the labels.
*Times ours* is against our fit by the same criterion; *times LinearRegression*, in the
row of ours, is the median of fits that take turns within one process. *Memory* is by
how much the resident memory rises during the fit at most.

*Below the best* is how far the log-likelihood of the estimates is from the best in the
table by the same criterion. One function, `docs/benchmarks/judge.py`, judges all of
them; what packages report of themselves is in the results. `X.T @ X` and `X.sum()` fit
nothing: they are what any fit has to do at least. R's time depends on its BLAS, which
the table of versions names.
"""
COLUMNS = (
    "",
    "s",
    "times ours",
    "times Linear&shy;Regression",
    "memory, MB",
    "maximises",
    "below the best",
    "group variance",
    "noise variance",
    "runs",
)


def figure(value, digits=3):
    """A number for a table: some significant digits, no exponent where it is short."""
    if value is None:
        return ""
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.1e}"
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:,.0f}"


def table(head, rows):
    """Markdown, numbers to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def gap(value):
    """A distance from the best log-likelihood; rounding errors are 0."""
    if value is None:
        return ""
    return "0" if value < 1e-6 else figure(value, 2)


def table_row(result, row):
    """The row of one adapter."""
    name = row["name"] + (f" ({row['note']})" if row["note"] else "")
    if row["status"] != "ok":
        return [name, row["status"]] + [""] * (len(COLUMNS) - 2)
    random = result.problem["n_groups"] and result.problem["mean_groups"] == "random"
    seconds, ours = median(row["seconds"]), result.ours(row["method"])
    peak = median(row["peak_bytes"])
    return [
        name,
        figure(seconds),
        figure(ours and seconds / median(ours["seconds"])),
        figure(result.ratio(row["adapter"], "linear_regression")),
        figure(peak and peak / 1e6),
        row["method"].upper() if row["method"] != "moments" else "moments",
        gap(result.below_best(row)),
        figure(row.get("group_variance"), 6) if random else "",
        figure(row.get("noise_variance"), 6),
        len(row["seconds"]),
    ]


def problem_section(name, result):
    """Heading, what it is, and the table."""
    problem = result.problem
    sizes = f"{problem['n_rows']:,} rows, {problem['n_features']} features"
    if problem["n_groups"]:
        sizes += f", {problem['n_groups']:,} groups"
    rows = sorted(result.alone, key=lambda row: median(row["seconds"]) or float("inf"))
    parts = [f"### {name}", f"{problem['about']} {sizes}; X has "]
    parts[1] += f"{result.X_bytes / 1e6:,.0f} MB."
    parts.append(table(COLUMNS, [table_row(result, row) for row in rows]))
    parts += [pair_line(row, result) for row in result.pairs]
    return "\n\n".join(parts)


def pair_line(row, result):
    """One sentence on fits that took turns."""
    names = {other["adapter"]: other["name"] for other in result.alone}
    beside = names.get(row["beside"], row["beside"].replace("_", " "))
    if row["status"] != "ok":
        return f"{row['name']} and {beside} in turns: {row['status']}."
    return (
        f"In {len(row['seconds'])} turns within one process: {row['name']} "
        f"{figure(median(row['seconds']))} s, {beside} "
        f"{figure(median(row['beside_seconds']))} s, median ratio "
        f"{figure(pair_ratio(row))}."
    )


def growth_section(results, picture):
    """Medians by rows, and the plot."""
    lines = plot.lines(results)
    sizes = sorted({n for _, _, points in lines for n, _ in points})
    head = ["s", *(f"{n:,}" for n in sizes), "exponent"]
    adapter_of = {
        row["name"]: row["adapter"] for r in results.values() for row in r.alone
    }
    rows = []
    for name, _, points in lines:
        times = (dict(points).get(n) for n in sizes)
        exponent = growth(adapter_of[name])(results)
        rows.append([name, *map(figure, times), figure(exponent)])
    text = (
        "### rows\n\nThe first problem with other numbers of rows, 20 to a group. The "
        "exponent is the slope of the logarithm of time in that of rows."
    )
    drawn = [f"![Seconds against rows]({picture})"] if picture else []
    return "\n\n".join([text, table(head, rows), *drawn])


def losses(name, result):
    """Rows of the table of losses: who is better on one problem, and at what."""
    rows = []
    for row in result.alone:
        key, ours = row["adapter"], result.ours(row.get("method"))
        if row["kind"] == "ours" or row["status"] != "ok" or key in LOWER_BOUNDS:
            continue
        if ours is None:
            rows.append([name, row["name"], "ours failed", ""])
            continue
        ratio = result.ratio(ours["adapter"], key)
        peaks = result.peak(key), result.peak(ours["adapter"])
        smaller = None not in peaks and peaks[0] + RESOLUTION < peaks[1]
        time = figure(1 / ratio, 2) if ratio > 1 else ""
        memory = figure(peaks[0] / peaks[1], 2) if smaller else ""
        if time or memory:
            rows.append([name, row["name"], time, memory])
    return rows


def less_likely(name, result):
    """Sentences on our fits that are not the best by their criterion."""
    return [
        f"{name}: {row['name']} is {figure(result.below_best(row))} below the best "
        "log-likelihood."
        for row in result.alone
        if row["kind"] == "ours" and (result.below_best(row) or 0) > SAME
    ]


def losses_section(results, turns):
    """All of them: in turns, and each in a process of its own."""
    rows = [row for item in results.items() for row in losses(*item)]
    lines = [line for item in results.items() for line in less_likely(*item)]
    head = ["problem", "", "its time over ours", "its memory over ours"]
    listed = "\n".join(f"- {line}" for line in lines)
    text = "Each in a process of its own; memory only beyond 1 MB of difference."
    slower = turns_page.losses(turns)
    names = ["In turns", "threads", "is faster", "times as fast as ours"]
    parts = ["## Where we lose", table(names, slower) if slower else ""]
    parts += [text, table(head, rows) if rows else "", listed]
    return "\n\n".join(part for part in parts if part)


PAST_MEMORY = """
### past memory, and past one process

Printed by `docs/benchmarks/past_memory.py`: rows that are made a chunk at a time, by \
`partial_fit`; and chunks that the processes of a cluster hold, here all of them on \
the machine above.
"""
WITH_SLOPE = """
The same with a random slope, by `LinearMixedRegressor` (`--slope --chunk-rows 4000000 \
--groups 50000`); the features of each chunk are a part of one block of numbers:
"""
LARGE_CROSSED = """
### crossed factors with many levels

Printed by `docs/benchmarks/large_crossed.py`, which explains the parts: the iterative \
solver, and nested factors beside a crossed one. Standard deviations are those of the \
first factor, the second, and the noise (truth 1, 0.7, 1); in `chain` a third factor \
(0.5) is before the noise. While `fit`, `peer`, `ratings` and `chain` were timed, the \
machine did nothing else.
"""


def printed_section(text, path):
    """The output of a program, as it was, after a text."""
    if not path.exists():
        return ""
    return f"{text.strip()}\n\n```text\n{path.read_text().strip()}\n```"


def before_after_section(path):
    """Tables that before_after.py printed, as they were."""
    if not path.exists():
        return ""
    text = (
        "## Beside an earlier revision\n\nPrinted by "
        "`docs/benchmarks/before_after.py`, which explains the columns."
    )
    return f"{text}\n\n{path.read_text().strip()}"


def versions_section(results):
    """Machines, dates, and versions of all packages that were run."""
    machines, dates, versions = {}, set(), {}
    for name, result in results.items():
        text = "{cpu}, {cores} cores, {memory_gb} GB, {system}, Python {python}"
        machines.setdefault(text.format(**result.machine), []).append(name)
        for row in result.alone + result.pairs:
            dates.add(row["date"])
            for package, version in row.get("versions", {}).items():
                versions.setdefault(package, set()).add(version)
    rows = [[name, ", ".join(sorted(versions[name]))] for name in sorted(versions)]
    where = "\n".join(
        f"- {text}" + (f": {', '.join(names)}" if len(machines) > 1 else "")
        for text, names in machines.items()
    )
    when = " to ".join(sorted({min(dates), max(dates)}))
    head = f"## Machine and versions\n\nMeasured {when} on\n\n{where}"
    return f"{head}\n\n{table(['package', 'version'], rows)}"


PIECES = """
### where the time of a fit goes

Printed by `docs/benchmarks/pieces.py`: milliseconds of CPU time of the steps of a \
random-intercept fit, and of one with slopes, one thread. Labels, order and the one \
reading of the rows that reduces them are the floor of any fit. The process is a new \
one, in which the C library gives the memory of a block back and takes it anew for the \
next: beyond 10,000 rows that makes the reduction longer than in the turns above.
"""


def pieces_section(path):
    """The table that pieces.py printed, as it was."""
    return f"{PIECES.strip()}\n\n{path.read_text().strip()}" if path.exists() else ""


def turns_section(turns, picture):
    """The chart and four lines of plain words."""
    drawn = [f"![Time of others over ours]({picture})"] if picture else []
    text = "\n".join(turns_page.lines(turns))
    return "\n\n".join(["# Benchmarks", *drawn, text])


def page(results, turns, pictures, printed):
    """The page as text; `pictures` are the paths of the plots from it, or None, and
    `printed` are sections that other programs have printed.
    """
    order = [name for name in PROBLEMS if name in results]
    results = {name: results[name] for name in order}
    sections = [turns_section(turns, pictures[0]), losses_section(results, turns)]
    sections += [IN_TURNS.strip(), turns_page.tables(turns, table)]
    sections.append(turns_page.busy(turns, table))
    sections.append(INTRODUCTION.strip())
    for name, result in results.items():
        if result.problem["family"] != "rows" or name == "million":
            sections.append(problem_section(name, result))
    sections.append(growth_section(results, pictures[1]))
    sections += printed
    sections.append(versions_section(results))
    return "\n\n".join(filter(None, sections)) + "\n"


def main():
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    results = read(options.results)
    turns = turns_page.read(options.results / "turns")
    paths = options.results / turns_page.NAME, options.results / plot.NAME
    try:
        turns_page.draw(turns, paths[0])
        plot.draw(results, paths[1])
    except ImportError:
        print("matplotlib is not installed: the plots are not drawn anew")
    pictures = [
        os.path.relpath(path, options.page.parent) if path.exists() else None
        for path in paths
    ]
    printed = [
        pieces_section(options.results / "pieces.md"),
        printed_section(PAST_MEMORY, options.results / "past_memory.txt"),
        printed_section(WITH_SLOPE, options.results / "past_memory_slope.txt"),
        printed_section(LARGE_CROSSED, options.results / "large_crossed.txt"),
        before_after_section(options.results / "before_after.md"),
    ]
    options.page.write_text(page(results, turns, pictures, printed))
    print(options.page)


if __name__ == "__main__":
    main()
