"""The cost of integrating over the variances, and that many groups make no difference.

    OPENBLAS_NUM_THREADS=1 python docs/studies/few_groups_cost.py

CPU time of fits, of the integrals and of 90 % intervals, the least of several runs; and
by how much integrated intervals are wider than those of the normal distribution.
"""

import time

import numpy as np
import pandas as pd

from skmixed import (
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    RandomInterceptRegressor,
)
from skmixed._estimator import fit_of

ROWS = 10  # of a group
N_OTHER = 8  # levels of the other factor, where there are two
N_GROUPS = (6, 100, 1000, 10_000)
REPEATS = 5
INTEGRATED = {"distribution": "integrated"}


def simulate(n_groups, rng):
    """Rows with a random intercept, and a random slope of the first of two features."""
    groups = np.repeat(np.arange(n_groups), ROWS)
    X = rng.normal(size=(len(groups), 2))
    b = rng.normal(size=(2, n_groups))
    y = X.sum(axis=1) + b[0, groups] + 0.5 * b[1, groups] * X[:, 0]
    return X, y + rng.normal(size=len(groups)), groups


def labels_of(model, groups):
    """Labels of the only factor, or of two where the model has two."""
    if "h" not in str(getattr(model, "random_effects", "")):
        return groups
    return pd.DataFrame({"g": groups, "h": np.arange(len(groups)) % N_OTHER})


def measure(model, data):
    """Milliseconds of the fit, the integral, the first and another interval of a row,
    and of the intervals of 10,000 rows.
    """
    X, y, groups = data
    rng = np.random.default_rng(1)
    new = rng.integers(0, groups.max() + 9, size=10_000)
    many = rng.normal(size=(10_000, 2)), labels_of(model, new)
    groups, times = labels_of(model, groups), []
    for _ in range(REPEATS):
        marks = [time.process_time()]
        model.fit(X, y, groups=groups)
        marks.append(time.process_time())
        fit_of(model).integrated.over  # noqa: B018
        marks.append(time.process_time())
        for rows, labels in ((X[:1], groups[:1]), (X[:1], groups[:1]), many):
            model.predict_interval(rows, groups=labels, **INTEGRATED)
            marks.append(time.process_time())
        times.append(np.diff(marks))
    return 1e3 * np.min(times, axis=0)


def widths(model, n_groups):
    """Integrated widths over normal ones: a new group's row, a known one's, and b."""
    labels = labels_of(model, np.array([n_groups + 9, 0]))
    rows = {"X": [[0.5, 0.5]] * 2, "groups": labels}
    ratios = list(
        np.diff(model.predict_interval(**rows, **INTEGRATED))[:, 0]
        / np.diff(model.predict_interval(**rows))[:, 0]
    )
    if hasattr(model, "random_intercepts_interval"):
        ends = [
            np.diff(model.random_intercepts_interval(distribution=name))[0, 0]
            for name in ("integrated", "normal")
        ]
        ratios.append(ends[0] / ends[1])
    return ratios


def main():
    """Print times and widths."""
    head = ["fit", "integral", "first", "next", "10,000_rows"]
    print(f"{'CPU ms':>24}{''.join(f'{name:>12}' for name in head)}   wider, %")
    models = {
        "(1 | g)": RandomInterceptRegressor(),
        "(x0 | g)": LinearMixedRegressor("(x0 | g)"),
        "(1|g)+(1|h)": LinearMixedRegressor("(1 | g) + (1 | h)"),
        "noise": HeteroscedasticGaussianRegressor(variance_features=[1]),
    }
    for name, model in models.items():
        sizes = {"(1 | g)": N_GROUPS, "(1|g)+(1|h)": N_GROUPS[:2]}
        for n_groups in sizes.get(name, N_GROUPS[:3]):
            data = simulate(n_groups, np.random.default_rng(0))
            times = "".join(f"{value:12.1f}" for value in measure(model, data))
            wider = " ".join(f"{100 * r - 100:.2f}" for r in widths(model, n_groups))
            print(f"{name:>11} {n_groups:6} groups{times[1:]}   {wider}", flush=True)


if __name__ == "__main__":
    main()
