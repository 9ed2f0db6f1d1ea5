"""The first part of the page: programs in turns, from results/turns/."""

import json

import numpy as np
from problems import PROBLEMS

NAME = "turns.svg"
MODES = {"one": "one thread each", "default": "default threads"}
BUSY = (
    "With the default threads each turn was measured twice, once while another process "
    "computed without a pause. Threads that wait for each other take CPU time."
)
SAME = 1e-3  # log-likelihoods that differ by less are the same


def read(folder):
    """Results of turns.py by problem: random intercepts first, by rows."""
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    ours = [name for name in PROBLEMS if name in found]
    ours.sort(key=lambda name: (PROBLEMS[name].task == "mixed", PROBLEMS[name].n_rows))
    return {name: found[name] for name in ours}


def title(problem):
    """A problem in a few words."""
    kind = problem["name"] if problem["task"] == "mixed" else "random intercept"
    groups = " and ".join(f"{levels:,}" for _, levels, _ in problem["factors"])
    return f"{kind}, {problem['n_rows']:,} rows, {groups or problem['n_groups']} groups"


def ratios(modes, key, mode="one"):
    """Quartiles of the time of a program over ours, turn by turn; None if it failed.

    Of one thread it is CPU time, which does not depend on what else the machine does;
    of several, time on the wall.
    """
    rows, figure = modes.get(mode, {}), "cpu" if mode == "one" else "seconds"
    row = rows.get(key, {})
    if not row.get("seconds"):
        return None
    k = len(row[figure])
    ours = np.array(rows["skmixed"][figure])[:k]
    return np.quantile(np.array(row[figure]) / ours, [0.25, 0.5, 0.75])


def peers(modes):
    """Keys of the programs that fit the model, but ours."""
    return [key for key in modes["one"] if key not in ("skmixed", "linear_regression")]


def fastest(modes):
    """Key and quartiles of the fastest peer, with one thread."""
    found = {key: ratios(modes, key) for key in peers(modes)}
    found = {key: value for key, value in found.items() if value is not None}
    key = min(found, key=lambda one: found[one][1])
    return key, found[key]


def lines(results):
    """Four lines of plain words."""
    one = {name: result["modes"] for name, result in results.items()}

    def said(name):
        rows, (key, quartiles) = one[name]["one"], fastest(one[name])
        seconds, who = np.median(rows["skmixed"]["cpu"]), rows[key]["name"]
        if quartiles[1] >= 1:
            tells = f"{quartiles[1]:.2g} times as fast as {who}"
        else:
            tells = f"{1 / quartiles[1]:.2g} times as slow as {who}"
        return f"{1e3 * seconds:.3g} ms, {tells}"

    def all_of(names, label):
        return "; ".join(
            f"{label(name)}: {said(name)}" for name in names if name in one
        )

    def rows_of(name):
        return f"{PROBLEMS[name].n_rows:,} rows"

    floor = ""
    if "million" in one:
        middle = ratios(one["million"], "linear_regression")[1]
        floor = f" `LinearRegression`, which knows no groups, takes {middle:.2f} times "
        floor += "our time for 1,000,000 rows."
    small = all_of(["rows-1e2", "rows-1e3", "rows-1e4"], rows_of)
    many = all_of(["rows-1e5", "million"], rows_of)
    several = all_of(["slopes", "nested", "crossed", "insteval"], str)
    said_of = {"Small data": small, "Many rows": many, "Several effects": several}
    return [
        *(f"- {what}: {text}." for what, text in said_of.items() if text),
        "- Compared is the fastest of the programs that fit the same model, with one "
        "thread each, in turns." + floor,
    ]


def losses(results):
    """Rows of the table of peers that are faster, with both numbers of threads."""
    found = []
    for result in results.values():
        modes = result["modes"]
        for mode in modes:
            for key in peers(modes):
                quartiles = ratios(modes, key, mode)
                if quartiles is not None and quartiles[1] < 1:
                    peer = modes[mode][key]["name"]
                    times = f"{1 / quartiles[1]:.2g}"
                    found.append([title(result["problem"]), MODES[mode], peer, times])
    return found


def tables(results, table):
    """A section for each problem, `table(head, rows)` making a table."""
    four = ["CPU s", "over ours", "quartiles"]
    heads = ["", "s", *four, "s, default threads", *four, "memory, MB"]
    parts = []
    for name, result in results.items():
        modes, rows = result["modes"], []
        for key, row in modes["one"].items():
            cells = [row["name"]]
            for mode in MODES:
                cells += _cells(modes, key, mode)
            peak = row.get("peak_bytes")
            rows.append([*cells, "" if peak is None else f"{peak / 1e6:,.0f}"])
        text = (
            f"{PROBLEMS[name].about} {len(modes['one']['skmixed']['seconds'])} turns."
        )
        parts.append(
            f"### {title(result['problem'])}\n\n{text}\n\n{table(heads, rows)}"
        )
        parts += _likelihoods(modes["one"])
    return "\n\n".join(parts)


def busy(results, table):
    """CPU seconds with the default threads, alone and beside a busy process."""
    head = ["", "alone, CPU s", "beside", "beside / alone", "quartiles"]
    rows = []
    for result in results.values():
        for row in result["modes"].get("default", {}).values():
            if row.get("busy_cpu"):
                alone, beside = np.array(row["cpu"]), np.array(row["busy_cpu"])
                low, middle, high = np.quantile(beside / alone, [0.25, 0.5, 0.75])
                cells = [f"{row['name']}: {title(result['problem'])}"]
                cells += [f"{np.median(x):.3g}" for x in (alone, beside)]
                rows.append([*cells, f"{middle:.2f}", f"{low:.2f} to {high:.2f}"])
    return f"### beside a busy process\n\n{BUSY}\n\n{table(head, rows)}" if rows else ""


def _cells(modes, key, mode):
    row, quartiles = modes.get(mode, {}).get(key, {}), ratios(modes, key, mode)
    if quartiles is None:
        return ["failed" if "failed" in row else "", "", "", ""]
    low, middle, high = quartiles
    seconds, cpu = np.median(row["seconds"]), np.median(row["cpu"])
    spread = f"{low:.2f} to {high:.2f}"
    return [f"{seconds:.3g}", f"{cpu:.3g}", f"{middle:.2f}", spread]


def _likelihoods(rows):
    found = {
        row["name"]: row["log_likelihood"]
        for row in rows.values()
        if row.get("log_likelihood") is not None
    }
    best = max(found.values())
    below = [f"{n} by {best - v:.2g}" for n, v in found.items() if best - v > SAME]
    if not below:
        return ["All report the same log-likelihood, to 0.001."]
    return [f"Below the highest log-likelihood that is reported: {', '.join(below)}."]


def draw(results, path):
    """Times of the peers over ours, with quartiles, logarithmic."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = NAME  # the same picture is the same file
    keys = list(dict.fromkeys(k for r in results.values() for k in peers(r["modes"])))
    keys.append("linear_regression")
    figure = Figure(figsize=(7, 0.5 * len(results) + 1.6), layout="constrained")
    axes = figure.add_subplot()
    for i, key in enumerate(keys):
        points = [
            (place, quartiles, result["modes"]["one"][key]["name"])
            for place, result in enumerate(results.values())
            if (quartiles := ratios(result["modes"], key)) is not None
        ]
        if not points:
            continue
        places, found, names = zip(*points, strict=True)
        low, middle, high = np.transpose(found)
        offset = np.array(places) + 0.1 * (i - len(keys) / 2)
        style = {"color": "0.6"} if key == "linear_regression" else {}
        errors = [middle - low, high - middle]
        axes.errorbar(
            middle, offset, xerr=errors, fmt="o", ms=4, label=names[0], **style
        )
    axes.axvline(1, color="#c1272d", lw=1)
    axes.set(
        xscale="log",
        xlabel="time over that of skmixed (to the right: skmixed is faster)",
    )
    axes.set_yticks(
        range(len(results)), [title(r["problem"]) for r in results.values()], fontsize=7
    )
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    figure.savefig(path, metadata={"Date": None})
