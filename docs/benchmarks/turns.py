"""Measure compiled packages and this one in turns within one process.

    python docs/benchmarks/turns.py [--problems rows-1e3 slopes ...] [--repeats 15]

Every program fits the same data after the other, again and again, so that a busy moment
of the machine hits all of them and ratios can be trusted; the first turn does not
count.  Each problem runs twice: with one thread of BLAS and of the compiled engines,
and with the default of each.  With the default every turn is measured once more while
another process is busy beside.  Results go to docs/benchmarks/results/turns/, from
which `page.py` makes the first part of docs/benchmarks.md.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import adapters
import memory
from problems import COMPILED, PROBLEMS
from results import RESULTS, median
from run import machine

FOLDER = RESULTS / "turns"
ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)
FEW = {"slopes": 5, "nested": 3, "crossed": 1, "insteval": 5}
WANTED = {
    "rows-1e2": COMPILED,
    "rows-1e3": COMPILED,
    "rows-1e4": COMPILED,
    "rows-1e5": COMPILED,
    "million": COMPILED,
    "slopes": COMPILED,
    "nested": ("glmm", "mixedlm"),
    "crossed": ("glmm",),
    "insteval": ("glmm", "mixedlm"),
}
LONG = 10.0  # seconds: a program that takes longer is measured in one turn,
SLOW = 1.0  # and one that takes longer than this in five


def timed(function):
    """Wall seconds, CPU seconds of all threads, and the result of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return time.perf_counter() - wall, time.process_time() - cpu, result


@contextmanager
def neighbour():
    """A process that is busy between two calls of the function that this gives."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    signals = [signal.SIGSTOP, signal.SIGCONT]

    def switch():
        process.send_signal(signals[0])
        signals.reverse()

    switch()
    try:
        yield switch
    finally:
        process.kill()
        process.wait()


def measure(name, repeats, mode):
    """Of every program: seconds and CPU seconds of its turns, or why there are none."""
    warnings.simplefilter("ignore")
    problem = PROBLEMS[name]
    data, fits, rows = problem.make(), {}, {}
    for key in ("skmixed", *WANTED[name], "linear_regression"):
        adapter = adapters.load(key)
        rows[key] = {"name": adapter.name, "seconds": [], "cpu": []}
        try:
            rows[key]["versions"] = adapter.versions()
            fits[key] = adapter.prepare(problem, data)
            wall, _, fitted = timed(fits[key])
        except Exception as error:  # of a package that is missing, or fails
            rows[key]["failed"] = f"{type(error).__name__}: {error}"[:200]
            fits.pop(key, None)
            continue
        if adapter.estimates:
            found = adapter.estimates(problem, fitted)
            rows[key]["log_likelihood"] = found.get("log_likelihood")
        if mode == "one":
            rows[key]["peak_bytes"] = memory.watch(fits[key])[1]
        most = 1 if wall > LONG else 5 if wall > SLOW else repeats
        rows[key]["turns"] = min(repeats, most)
    with neighbour() as switch:
        for turn in range(repeats):
            for key, fit in fits.items():
                if turn < rows[key]["turns"]:
                    add(rows[key], "", fit)
                if turn < rows[key]["turns"] and mode != "one":
                    switch()
                    add(rows[key], "busy_", fit)
                    switch()
    return rows


def add(row, kind, fit):
    """Measure a fit, and add what it takes to a row."""
    wall, cpu, _ = timed(fit)
    row.setdefault(f"{kind}seconds", []).append(wall)
    row.setdefault(f"{kind}cpu", []).append(cpu)


def in_process(name, repeats, mode):
    """`measure` in a process of its own, with threads as `mode` says."""
    environment = os.environ | (ONE_THREAD if mode == "one" else {})
    if mode != "one":
        environment = {k: v for k, v in environment.items() if k not in ONE_THREAD}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "found.json"
        command = [sys.executable, __file__, "--one", name, mode, str(output)]
        command += ["--repeats", str(repeats)]
        subprocess.run(command, check=True, env=environment)
        return json.loads(output.read_text())


def print_rows(name, mode, rows):
    """One line for each program."""
    print(f"{name}, {'one thread' if mode == 'one' else 'default threads'}")
    for row in rows.values():
        if "failed" in row:
            print(f"  {row['name']:<20} failed: {row['failed'][:60]}")
            continue
        peak, busy = row.get("peak_bytes"), row.get("busy_cpu")
        print(
            f"  {row['name']:<20} {median(row['seconds']):9.4f} s  "
            f"CPU {median(row['cpu']):9.4f} s"
            + (f"  {peak / 1e6:6.0f} MB" if peak is not None else "")
            + (f"  busy CPU {median(busy):9.4f} s" if busy else ""),
            flush=True,
        )


def main():
    """Read the command line, measure, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", nargs="+", choices=WANTED, default=list(WANTED))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--modes", nargs="+", default=["one", "default"])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, mode, output = options.one
        rows = measure(name, options.repeats, mode)
        Path(output).write_text(json.dumps(rows, default=float))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in options.problems:
        repeats = min(FEW.get(name, options.repeats), options.repeats)
        path = FOLDER / f"{name}.json"
        kept = json.loads(path.read_text())["modes"] if path.exists() else {}
        for mode in options.modes:
            kept[mode] = in_process(name, repeats, mode)
            print_rows(name, mode, kept[mode])
        result = {
            "problem": asdict(PROBLEMS[name]),
            "machine": machine(),
            "date": datetime.date.today().isoformat(),
            "modes": kept,
        }
        path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
