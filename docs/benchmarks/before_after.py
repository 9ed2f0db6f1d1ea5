"""Time and memory of the package beside an earlier revision of it, in one run.

    python docs/benchmarks/before_after.py REVISION [--problems million wide-reml ...]
    python docs/benchmarks/before_after.py REVISION --memory --problems sparse-groups

The revision's package is taken out of the repository's history and imported by a
process of its own.  Two more processes import the package as it is now, so that their
difference shows the noise of the machine.  All make the same data, warm up, and take
turns.  Prints for each problem the medians of CPU seconds, with one BLAS thread, and as
noise the median difference of the two equal ones; `slower` stands where the package
lost more than twice that.  Fits on workers of Dask have seconds by the clock instead,
since other processes spend the CPU.  With --memory each fit is in a new process, and
the figure is by how much its resident memory rises, as Linux counts it.

Problems are those of problems.py and the hard ones below, each of which was slow or
large once; ADAPTER/PROBLEM chooses another adapter than the first, which is ours.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import adapters
import memory
import numpy as np
from problems import PROBLEMS

ROOT = Path(__file__).parents[2]
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def linear_data(n, p, n_groups, seed=0):
    """X, y and groups: normal features of which ten matter, groups and noise."""
    rng = np.random.default_rng(seed)
    X, groups = rng.normal(size=(n, p)), rng.integers(n_groups, size=n)
    y = X[:, :10].sum(axis=1) + rng.normal(size=n_groups)[groups] + rng.normal(size=n)
    return X, y, groups


def wide_reml():
    """2,930 rows, 247 columns of the mean, two of them of the log-variance, REML."""
    from skmixed import HeteroscedasticGaussianRegressor

    X, y, groups = linear_data(2930, 247, 28)
    y = y + np.exp(X[:, 0] / 2) * np.random.default_rng(1).normal(size=len(y))
    model = HeteroscedasticGaussianRegressor(variance_features=[0, 1])
    return lambda: model.fit(X, y, groups=groups)


def wide_both():
    """2,000 rows, 100 columns of the mean and of the log-variance, REML."""
    from skmixed import HeteroscedasticGaussianRegressor

    X, y, groups = linear_data(2000, 100, 100)
    return lambda: HeteroscedasticGaussianRegressor().fit(X, y, groups=groups)


def noisy_data(n):
    """n rows in n / 20 groups, 10 columns of the mean and of the log-variance."""
    X, y, groups = linear_data(n, 10, n // 20)
    log_std = X @ np.linspace(-0.3, 0.3, 10)
    return X, y + np.exp(log_std) * np.random.default_rng(1).normal(size=n), groups


def modelled_noise(n):
    """n rows of `noisy_data`, REML."""
    from skmixed import HeteroscedasticGaussianRegressor

    X, y, groups = noisy_data(n)
    return lambda: HeteroscedasticGaussianRegressor().fit(X, y, groups=groups)


def modelled_noise_on_dask():
    """4,000 rows of `noisy_data` in 8 partitions, two processes of Dask, REML."""
    from dask import array
    from distributed import Client, LocalCluster

    from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor

    Client(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None))
    X, y, groups = (
        array.from_array(part, chunks=(500, *part.shape[1:]))
        for part in noisy_data(4000)
    )
    RandomInterceptRegressor().fit(X, y, groups=groups)  # workers import the package
    return lambda: HeteroscedasticGaussianRegressor().fit(X, y, groups=groups)


def schools():
    """7,185 pupils of 160 schools (hsb82), REML, all columns in both parts."""
    from skmixed import HeteroscedasticGaussianRegressor
    from skmixed.datasets import load_hsb82

    X, y, groups = load_hsb82(return_X_y_groups=True)
    return lambda: HeteroscedasticGaussianRegressor().fit(X, y, groups=groups)


def wide_ridge():
    """2,000 rows, 700 columns, 50 groups, a ridge penalty of 1."""
    from skmixed import RandomInterceptRegressor

    X, y, groups = linear_data(2000, 700, 50)
    return lambda: RandomInterceptRegressor(alpha=1.0).fit(X, y, groups=groups)


def profiles(p):
    """Profile intervals of a model with p columns, fitted before the clock starts."""
    from skmixed import RandomInterceptRegressor

    X, y, groups = linear_data(2000, p, 50)
    return RandomInterceptRegressor().fit(X, y, groups=groups).profile_intervals


def sparse_groups():
    """Sparse X of 200,000 rows and 300 columns with 5 MB, 100,000 groups."""
    from scipy import sparse

    from skmixed import RandomInterceptRegressor

    rng = np.random.default_rng(0)
    X = sparse.random_array((200_000, 300), density=0.007, format="csr", rng=rng)
    groups = rng.permutation(np.repeat(np.arange(100_000), 2))
    y = X @ rng.normal(size=300) + rng.normal(size=100_000)[groups]
    y = y + rng.normal(size=len(y))
    return lambda: RandomInterceptRegressor().fit(X, y, groups=groups)


def long_labels():
    """500 labels of 100,000 characters in an array of NumPy's strings, of 200 MB."""
    from skmixed import RandomInterceptRegressor

    X, y, _ = linear_data(500, 10, 50)
    groups = np.array(["a" * 99_990 + f"{g % 50:010d}" for g in range(500)])
    return lambda: RandomInterceptRegressor().fit(X, y, groups=groups)


HARD = {
    "wide-reml": wide_reml,
    "wide-both": wide_both,
    "wide-ridge": wide_ridge,
    "noise-10000": lambda: modelled_noise(10_000),
    "noise-40000": lambda: modelled_noise(40_000),
    "noise-200000": lambda: modelled_noise(200_000),
    "noise-1000000": lambda: modelled_noise(1_000_000),
    "hsb82": schools,
    "dask-noise-4000": modelled_noise_on_dask,
    "profiles-50": lambda: profiles(50),
    "profiles-100": lambda: profiles(100),
    "sparse-groups": sparse_groups,
    "long-labels": long_labels,
}


def prepare(name):
    """The function without arguments that is measured, after a warm-up."""
    if name in HARD:
        X, y, groups = linear_data(200, 10, 20)
        import skmixed

        skmixed.RandomInterceptRegressor().fit(X, y, groups=groups)
        skmixed.HeteroscedasticGaussianRegressor().fit(X, y, groups=groups)
        return HARD[name]()
    key, _, problem = name.rpartition("/")
    problem = PROBLEMS[problem]
    adapter = adapters.load(key or problem.adapters[0])
    small = problem.small()
    adapter.prepare(small, small.make())()
    return adapter.prepare(problem, problem.make())


def work(name, with_memory):
    """Answer each line on the standard input with a measurement."""
    warnings.simplefilter("ignore")
    call = prepare(name)
    clock = time.perf_counter if name.startswith("dask-") else time.process_time
    for _ in sys.stdin:
        if with_memory:
            found = memory.watch(call)[1] / 1e6
        else:
            start = clock()
            call()
            found = clock() - start
        print(json.dumps(found), flush=True)


class Worker:
    """A process that imports the package from a folder, and measures when asked."""

    def __init__(self, folder, name, with_memory):
        env = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": str(folder)}
        command = [sys.executable, __file__, "--worker", name]
        command += ["--memory"] * with_memory
        self.process = subprocess.Popen(
            command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def measure(self):
        """CPU seconds, or megabytes; not a number if the process has failed."""
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return np.nan
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer else np.nan

    def end(self):
        """Let it run out of questions."""
        self.process.stdin.close()
        self.process.wait()


def compare_times(folders, name, repeats, limit):
    """Figures of workers that take turns, until `limit` seconds have passed: a list of
    one figure for each worker.
    """
    workers = [Worker(folder, name, False) for folder in folders]
    if name not in HARD:  # a turn that does not count
        for worker in workers:
            worker.measure()
    start, found = time.monotonic(), []
    while len(found) < repeats and (not found or time.monotonic() - start < limit):
        found.append([worker.measure() for worker in workers])
    for worker in workers:
        worker.end()
    return found


def compare_memory(folders, name, repeats):
    """Memory of first calls, each in a new process, as `compare_times`."""
    found = []
    for _ in range(repeats):
        workers = [Worker(folder, name, True) for folder in folders]
        found.append([])
        for worker in workers:
            found[-1].append(worker.measure())
            worker.end()
    return found


def row(name, found):
    """A row of the table; the third figures are the second measured again."""
    before, after, again = map(median, zip(*found, strict=True))
    noise = median(abs(second - third) for _, second, third in found)
    after = (after + again) / 2
    cells = [name, *(f"{figure:.4g}" for figure in (before, after, noise))]
    cells += [f"{after / before:.3g}", str(len(found))]
    cells += ["slower" * (after - before > 2 * noise)]
    return f"| {' | '.join(cells)} |"


def take_out(revision, folder):
    """The package of a revision, in a folder."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", revision, "skmixed"],
        check=True,
        capture_output=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def main():
    """Read the command line; measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revision", nargs="?")
    parser.add_argument("--problems", nargs="+", default=[*PROBLEMS, *HARD])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--limit", type=float, default=120, help="s, each problem")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.memory)
        return
    if options.revision is None:
        parser.error("name a revision to compare with")
    unit = "MB" if options.memory else "CPU s"
    print(f"| problem | before, {unit} | after | noise | after / before | turns | |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        take_out(options.revision, folder)
        folders = [folder, ROOT, ROOT]
        for name in options.problems:
            if options.memory:
                found = compare_memory(folders, name, options.repeats)
            else:
                found = compare_times(folders, name, options.repeats, options.limit)
            print(row(name, found), flush=True)


if __name__ == "__main__":
    main()
