"""Time against rows, both logarithmic, drawn from the results.

    python docs/benchmarks/plot.py [--results docs/benchmarks/results]

Needs matplotlib; run.py and page.py do without.
"""

import argparse
from pathlib import Path

from results import RESULTS, read

NAME = "rows.svg"
OURS = "#c1272d"


def lines(results):
    """Of each adapter: its name, its kind, and (rows, seconds) in ascending order."""
    family = [r for r in results.values() if r.problem["family"] == "rows"]
    family.sort(key=lambda result: result.problem["n_rows"])
    found = {}
    for result in family:
        for row in result.alone:
            seconds = result.seconds(row["adapter"])
            if seconds is not None:
                line = found.setdefault(row["adapter"], (row["name"], row["kind"], []))
                line[2].append((result.problem["n_rows"], seconds))
    return list(found.values())


def draw(results, path):
    """Write the plot; False if there is nothing to draw."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = NAME  # the same picture is the same file
    found = [line for line in lines(results) if len(line[2]) > 1]
    if not found:
        return False
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, kind, points in found:
        style = {
            "ours": {"color": OURS if name == "skmixed" else "#e58a8e", "lw": 2.5},
            "floor": {"color": "0.6", "linestyle": "--"},
            "peer": {"lw": 1},
        }[kind]
        axes.plot(*zip(*points, strict=True), marker="o", ms=3, label=name, **style)
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    return True


def main():
    """Draw from the files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    folder = parser.parse_args().results
    if draw(read(folder), folder / NAME):
        print(folder / NAME)


if __name__ == "__main__":
    main()
