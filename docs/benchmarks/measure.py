"""One measurement, in a process of its own; run.py starts it.

    python docs/benchmarks/measure.py PROBLEM ADAPTER OUTPUT [--beside ADAPTER]

Makes the data, warms up on a small problem of the same kind, and writes what it found
to OUTPUT, as JSON.  With --beside two fits take turns.
"""

import argparse
import json
import os
import resource
import time
import warnings
from dataclasses import replace
from pathlib import Path

import adapters
import judge
import memory
import numpy as np
from problems import PROBLEMS

MEMORY_SHARE = 0.7  # of that of the machine, for a measurement and its R


def seconds(function):
    """Wall time of one call, and what it returns."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measure_alone(adapter, problem, data):
    """Time, memory and estimates of one fit: a dict."""
    fit = adapter.prepare(problem, data)
    (spent, fitted), peak = memory.watch(lambda: seconds(fit))
    found = {"seconds": spent, "peak_bytes": peak}
    if adapter.estimates:
        found |= adapter.estimates(problem, fitted)
    return found


def measure_pair(adapter, beside, problem, data, repeats):
    """Times of two fits that take turns, after one turn that does not count: a dict.

    Memory is that of one more fit, since giving freed memory back costs time.
    """
    fits = [one.prepare(problem, data) for one in (adapter, beside)]
    turns = [[seconds(fit)[0] for fit in fits] for _ in range(repeats + 1)][1:]
    ours, theirs = map(list, zip(*turns, strict=True))
    peak = memory.watch(fits[0])[1]
    return {"seconds": ours, "beside_seconds": theirs, "peak_bytes": peak}


def judged(problem, data, found):
    """The judge's log-likelihood; None for models that are not its own."""
    if problem.task == "mixed":  # what packages report: all have lme4's constants
        return found.get("log_likelihood")
    fixed = "fixed" in (problem.mean_groups, problem.variance_groups)
    if fixed or not {"coef", "log_variance", "group_variance"} <= found.keys():
        return None
    return judge.log_likelihood(data, found, reml=problem.method == "reml")


def summary(problem, found):
    """`found` without long lists, and with the noise variance if there is one."""
    kept = {name: value for name, value in found.items() if name != "coef"}
    log_variance = kept.pop("log_variance", ())
    if len(log_variance) == 1:
        kept["noise_variance"] = np.exp(log_variance[0])
    return kept


def measure(arguments):
    """The figures to be written."""
    adapter = adapters.load(arguments.adapter)
    try:
        versions = adapter.versions()
    except (ModuleNotFoundError, FileNotFoundError):
        return {"status": "not installed"}
    problem = PROBLEMS[arguments.problem].shrunk(arguments.shrink)
    method = adapter.method(problem)
    if method in ("reml", "ml"):
        problem = replace(problem, method=method)
    data, small = problem.make(), problem.small()
    if not adapter.elsewhere:
        adapter.prepare(small, small.make())()
    if arguments.beside:
        beside = adapters.load(arguments.beside)
        found = measure_pair(adapter, beside, problem, data, arguments.repeats)
    else:
        found = measure_alone(adapter, problem, data)
        found["judged"] = judged(problem, data, found)
    return {
        "status": "ok",
        "method": method,
        "versions": versions,
        **summary(problem, found),
    }


def leave_memory_to_others():
    """A fit that needs more than there is fails, and leaves the machine running."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, 2 * [int(MEMORY_SHARE * pages)])


def main():
    """Measure, and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("problem")
    parser.add_argument("adapter")
    parser.add_argument("output", type=Path)
    parser.add_argument("--beside")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--shrink", type=int, default=1)
    arguments = parser.parse_args()
    leave_memory_to_others()
    warnings.simplefilter("ignore")  # small groups, and what the peers have to say
    arguments.output.write_text(json.dumps(measure(arguments), default=float))


if __name__ == "__main__":
    main()
