"""Measure fits by this package and by others on the same data; print and keep results.

    python docs/benchmarks/run.py [--problems million wide ...] [--adapters skmixed ...]
    python docs/benchmarks/run.py --shrink 100 --results some/folder

Every measurement is a process of its own.  Adapters take turns, so that a busy minute
of the machine hits all of them.  What fails, takes too long or is not installed becomes
a row of the table as well.  Results go to docs/benchmarks/results/, a file for each
problem, where they replace those of the same adapters; from them `python
docs/benchmarks/page.py` makes docs/benchmarks.md.  --shrink divides rows and groups, to
try things out.
"""

import argparse
import datetime
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import adapters
from problems import PROBLEMS
from results import RESULTS, median, write

MEASURE = Path(__file__).with_name("measure.py")
LONG = 60.0  # seconds: a fit that takes longer is measured once


def run_process(arguments, limit):
    """The output of measure.py when called so; its status where it writes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "found.json"
        problem, adapter, *options = arguments
        command = [sys.executable, MEASURE, problem, adapter, output, *options]
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"TMPDIR": folder},
        )
        try:
            _, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the R that it may wait for
            process.communicate()
            return {"status": f"more than {limit:g} s"}
        if output.exists():
            return json.loads(output.read_text())
    if process.returncode == -signal.SIGKILL:
        return {"status": "failed: ended by the system, as when memory runs out"}
    lines = errors.strip().splitlines() or [f"exit code {process.returncode}"]
    without_paths = re.sub(r"(/[\w.+-]+){2,}", "...", lines[-1])
    return {"status": f"failed: {without_paths[:200]}"}


def new_row(key, beside=None):
    """A row without results."""
    adapter = adapters.load(key)
    return {
        "adapter": key,
        "name": adapter.name,
        "kind": adapter.kind,
        "note": adapter.note,
        "beside": beside,
        "date": datetime.date.today().isoformat(),
    }


def measure_alone(problem, keys, options):
    """Rows of single fits: one process for each run."""
    rows = {key: new_row(key) | {"seconds": [], "peak_bytes": []} for key in keys}
    open_keys = list(keys)
    for _ in range(options.repeats):
        for key in list(open_keys):
            start = time.perf_counter()
            arguments = [problem.name, key, "--shrink", options.shrink]
            found = run_process(arguments, options.time_limit)
            row = rows[key]
            if found["status"] != "ok":
                row |= found
                open_keys.remove(key)
                continue
            for name in ("seconds", "peak_bytes"):
                row[name].append(found.pop(name))
            row |= found
            if time.perf_counter() - start > LONG and row["seconds"][-1] > LONG / 2:
                open_keys.remove(key)
    return list(rows.values())


def measure_pair(problem, pair, options):
    """The row of two fits that take turns in one process."""
    key, beside = pair
    arguments = [problem.name, key, "--beside", beside]
    arguments += ["--repeats", options.repeats, "--shrink", options.shrink]
    limit = options.time_limit * (options.repeats + 1)
    row = new_row(key, beside) | run_process(arguments, limit)
    if row["status"] == "ok":
        row["peak_bytes"] = [row["peak_bytes"]]
    return row


def print_row(row):
    """One line: median time, memory, distance of ratios."""
    name = row["name"]
    if row["beside"]:
        name += f" / {adapters.load(row['beside']).name}"
    if row["status"] != "ok":
        print(f"  {name:<45} {row['status']}", flush=True)
        return
    text = f"  {name:<45} {median(row['seconds']):9.3f} s"
    peak = median(row["peak_bytes"])
    text += f" {peak / 1e6:8.0f} MB" if peak is not None else " " * 12
    if row["beside"]:
        pairs = zip(row["seconds"], row["beside_seconds"], strict=True)
        text += f"   ratio {median([ours / theirs for ours, theirs in pairs]):.2f}"
    if row.get("judged") is not None:
        text += f"   {row['method']} {row['judged']:.4f}"
    print(text, flush=True)


def machine():
    """The machine of the measurements."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line for line in lines if "model name" in line).split(": ")[1]
    except (OSError, StopIteration, IndexError):
        pass
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
        ),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def run_problem(problem, options):
    """Measure, print and keep."""
    problem_run = problem.shrunk(options.shrink)
    print(
        f"{problem.name}: {problem_run.n_rows:,} rows, {problem.n_features} features, "
        f"{problem_run.n_groups:,} groups",
        flush=True,
    )

    def wanted(*keys):
        return not options.adapters or set(keys) & set(options.adapters)

    keys = [key for key in problem.adapters if wanted(key)]
    rows = measure_alone(problem, keys, options)
    for row in rows:
        print_row(row)
    for pair in problem.pairs:
        if wanted(*pair):
            rows.append(measure_pair(problem, pair, options))
            print_row(rows[-1])
    about = asdict(problem_run)
    write(options.results, {"problem": about, "machine": machine(), "rows": rows})


def main():
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, metavar="PROBLEM")
    parser.add_argument("--adapters", nargs="+", metavar="ADAPTER")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--time-limit", type=float, default=600, help="s, each process")
    parser.add_argument("--shrink", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--list", action="store_true", help="list problems, and stop")
    options = parser.parse_args()
    if options.shrink > 1 and options.results == RESULTS:
        parser.error("--shrink needs another folder for its --results")
    if options.list:
        for problem in PROBLEMS.values():
            print(f"{problem.name:<22} {', '.join(problem.adapters)}")
        return
    for name in options.problems or PROBLEMS:
        run_problem(PROBLEMS[name], options)


if __name__ == "__main__":
    main()
