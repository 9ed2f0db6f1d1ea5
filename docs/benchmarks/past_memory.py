"""Fits past the memory of one process, and past one process; print and keep figures.

    python docs/benchmarks/past_memory.py [--gigabytes 40] [--chunk-rows 1000000]
    python docs/benchmarks/past_memory.py --slope [--gigabytes 40]
        [--chunk-rows 4000000] [--groups 50000]

First, rows that are made a chunk at a time and never all there, by `partial_fit`: the
resident memory of the process along the way, and the estimates beside the truth.  Then
the fits of Dask arrays whose chunks four processes hold, beside the fits of the same
rows in one.  What is printed goes to docs/benchmarks/results/past_memory.txt as well,
for the page of benchmarks.  With --slope the model has a random slope, there is no
cluster, and the file is past_memory_slope.txt.  The features of its chunks begin at
random places of one block of normal numbers, so that making them takes no time.
"""

import argparse
import time

import memory
import numpy as np
from results import RESULTS

from skmixed import (
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    RandomInterceptRegressor,
)

OUTPUT, OUTPUT_SLOPE = RESULTS / "past_memory.txt", RESULTS / "past_memory_slope.txt"
N_FEATURES = 10
N_REPORTS = 10
N_WORKERS, CLUSTER_CHUNKS, CLUSTER_ROWS, CLUSTER_GROUPS = 4, 8, 250_000, 50_000


def make_chunk(number, n_rows, n_groups, noise_slope=0.0, block=None):
    """Rows of a chunk: features, target, groups in random order.

    Coefficients are 1; random intercepts have variance 1, and so has the noise, but for
    a log-variance of `noise_slope` times the first feature.  With a `block` of numbers
    the features are some of these, and the coefficient of the first one has variance 1
    between groups.
    """
    rng = np.random.default_rng([1, number])
    intercepts = np.random.default_rng(0).normal(size=n_groups)
    if block is None:
        X = rng.normal(size=(n_rows, N_FEATURES))
    else:
        first = rng.integers(len(block) - n_rows * N_FEATURES + 1)
        X = block[first : first + n_rows * N_FEATURES].reshape(n_rows, N_FEATURES)
    groups = rng.integers(n_groups, size=n_rows)
    y = rng.normal(size=n_rows)
    if noise_slope:
        y *= np.exp(noise_slope * X[:, 0] / 2)
    y += X.sum(axis=1) + intercepts[groups]
    if block is not None:
        slopes = np.random.default_rng(2).normal(size=n_groups)
        y += X[:, 0] * slopes[groups]
    return X, y, groups


def stream(gigabytes, chunk_rows, n_groups, say, slope=False):
    """Fit rows that come and go."""
    n_chunks = max(round(gigabytes * 1e9 / (8 * N_FEATURES * chunk_rows)), 1)
    say(
        f"{n_chunks * chunk_rows:,} rows x {N_FEATURES} in {n_chunks} chunks, "
        f"{n_groups:,} groups: {n_chunks * chunk_rows * N_FEATURES * 8 / 1e9:.0f} GB"
    )
    say(f"{'rows':>15} {'in partial_fit':>15} {'resident memory':>16}")
    model = LinearMixedRegressor("(x0 | g)") if slope else RandomInterceptRegressor()
    spent, block = 0.0, None
    if slope:
        numbers = (chunk_rows + chunk_rows // 4) * N_FEATURES
        block = np.random.default_rng(3).normal(size=numbers)
    for number in range(n_chunks):
        X, y, groups = make_chunk(number, chunk_rows, n_groups, block=block)
        start = time.perf_counter()
        model.partial_fit(X, y, groups=groups)
        spent += time.perf_counter() - start
        if (number + 1) * N_REPORTS // n_chunks > number * N_REPORTS // n_chunks:
            resident = memory.resident() / 1e6
            rows = (number + 1) * chunk_rows
            say(f"{rows:>15,} {spent:>13.0f} s {resident:>13.0f} MB")
    say(f"highest resident memory {memory.highest() / 1e6:.0f} MB")
    error = np.abs(model.coef_ - 1).max()
    if slope:
        (Psi,) = model.random_effects_covariance_.values()
        found = f"covariance {Psi.round(4).tolist()} of the effects (truth 1, 0, 1)"
    else:
        found = f"group variance {model.group_variance_:.4f} (truth 1)"
    say(
        f"coefficients within {error:.1e} of the truth (standard errors up to "
        f"{model.coef_std_.max():.1e}); {found}, noise variance "
        f"{model.noise_variance_:.5f} (truth 1)"
    )


def cluster(say):
    """Fit the same rows on four processes and in one."""
    from dask import array, delayed
    from distributed import Client, LocalCluster

    options = (CLUSTER_ROWS, CLUSTER_GROUPS, 0.4)
    chunks = [make_chunk(number, *options) for number in range(CLUSTER_CHUNKS)]
    X, y, groups = map(np.concatenate, zip(*chunks, strict=True))
    say(
        f"\n{len(y):,} rows x {N_FEATURES}, {CLUSTER_GROUPS:,} groups, as Dask arrays "
        f"of {CLUSTER_CHUNKS} chunks on {N_WORKERS} processes, and in one"
    )
    models = [
        RandomInterceptRegressor(),
        HeteroscedasticGaussianRegressor(),
        HeteroscedasticGaussianRegressor(mean_groups="fixed", variance_groups="fixed"),
    ]
    local = LocalCluster(
        n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=None
    )
    with local, Client(local):
        made = [
            delayed(make_chunk, nout=3)(number, *options)
            for number in range(CLUSTER_CHUNKS)
        ]
        shapes = (CLUSTER_ROWS, N_FEATURES), (CLUSTER_ROWS,), (CLUSTER_ROWS,)
        lazy = [
            array.concatenate(
                [array.from_delayed(parts[k], shapes[k], dtype) for parts in made]
            )
            for k, dtype in enumerate((float, float, int))
        ]
        for model in models:
            compare(model, (X, y, groups), lazy, say)


def compare(model, data, lazy, say):
    """One line: times and the largest difference of coefficients."""
    found = []
    for X, y, groups in (data, lazy):
        start = time.perf_counter()
        model.fit(X, y, groups=groups)
        figures = [model.coef_, getattr(model, "variance_coef_", [])]
        found.append((time.perf_counter() - start, np.concatenate(figures)))
    (alone, one), (spread, other) = found
    difference = np.abs(one - other).max() / np.abs(one).max()
    say(
        f"{model!r}: {alone:.2f} s in one process, {spread:.2f} s on the cluster; "
        f"coefficients differ by {difference:.1e} of the largest"
    )


def main():
    """Read the command line; run both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=40)
    parser.add_argument("--chunk-rows", type=int, default=1_000_000)
    parser.add_argument("--groups", type=int, default=200_000)
    parser.add_argument("--slope", action="store_true")
    options = parser.parse_args()
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    rows = options.gigabytes, options.chunk_rows, options.groups
    stream(*rows, say, options.slope)
    if not options.slope:
        cluster(say)
    output = OUTPUT_SLOPE if options.slope else OUTPUT
    output.parent.mkdir(exist_ok=True)
    output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
