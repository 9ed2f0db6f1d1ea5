"""Is there a set of data on which another package finds a higher likelihood?

    python docs/studies/reliability/against_peers.py [n_sets n_jobs]

Fits random sets of rows of medium size, REML and ML, one noise variance or one that
depends on features, by skmixed, statsmodels and, where R has them, lme4, nlme and
glmmTMB (against_peers.R).  The likelihood of what each of them found is computed by the
same dense oracle.  Prints by how much others are above skmixed, and below it, and how
often they fail.
"""

import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

from oracles.reference import block_covariance, log_likelihood, with_intercept

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor

PROGRAM = Path(__file__).with_suffix(".R")
METHODS = ("reml", "ml")
LARGEST_N, LARGEST_P, LARGEST_Q = 400, 4, 2
BOUNDS = (1e-6, 1e-4, 1e-2, 1.0)


def simulate(seed):
    """Features, target, groups, and how many features the log-variance depends on."""
    rng = np.random.default_rng(seed)
    n = int(np.exp(rng.uniform(np.log(30), np.log(LARGEST_N))))
    n_groups = int(np.exp(rng.uniform(np.log(3), np.log(n / 3))))
    chance = rng.dirichlet(np.full(n_groups, rng.choice([0.5, 2, 50])))
    groups = rng.choice(n_groups, size=n, p=chance)
    p = rng.integers(1, LARGEST_P + 1)
    q = seed % (LARGEST_Q + 1)
    p = max(p, q)
    X = (
        rng.normal(size=(n, p))
        + rng.choice([0, 1]) * rng.normal(size=(n_groups, p))[groups]
    )
    if rng.random() < 0.3:
        X[:, -1] = rng.normal(size=n_groups)[groups]
    if rng.random() < 0.3:
        X = X * 10.0 ** rng.integers(-2, 4, size=p) + rng.choice([0, 100])
    share = rng.choice([0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 0.99])
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    noise = np.exp(Z[:, :q] @ rng.normal(scale=0.5, size=q)) * rng.normal(size=n)
    if rng.random() < 0.2:
        noise *= 1 + 5 * (rng.random(n) < 0.05)
    level = np.sqrt(share) * rng.normal(size=n_groups)[groups]
    y = 10 * rng.random() + Z @ rng.normal(size=p) + level + np.sqrt(1 - share) * noise
    y *= 10.0 ** rng.integers(-2, 3)
    return X, y, np.unique(groups, return_inverse=True)[1], q


def fit_own(X, y, groups, q, method):
    """log v of every row, and the group variance."""
    if q:
        model = HeteroscedasticGaussianRegressor(
            method=method, variance_features=list(range(q))
        )
    else:
        model = RandomInterceptRegressor(method=method)
    model.fit(X, y, groups=groups)
    return 2 * np.log(model.predict_noise_std(X, groups=groups)), model.group_variance_


def fit_statsmodels(X, y, groups, method):
    """The same; raises what statsmodels raises."""
    import statsmodels.api as sm

    found = sm.MixedLM(y, with_intercept(X), groups).fit(reml=method == "reml")
    return np.full(len(y), np.log(found.scale)), found.cov_re[0, 0]


def likelihood(X, y, groups, method, log_v, psi):
    """By the dense oracle; minus infinity where something is not finite."""
    if not (np.isfinite(log_v).all() and np.isfinite(psi) and psi >= 0):
        return -np.inf
    V = np.diag(np.exp(log_v)) + block_covariance(groups, 0.0, psi)
    try:
        return log_likelihood(with_intercept(X), y, V, method == "reml")
    except np.linalg.LinAlgError:  # a noise variance of almost 0
        return -np.inf


def fit_r(sets):
    """R's results: (seed, method, package) to log v and group variance."""
    if shutil.which("Rscript") is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in sets:
            X, y, groups, q = simulate(seed)
            rows = pd.DataFrame(X, columns=[f"x{j + 1}" for j in range(X.shape[1])])
            rows.assign(y=y, group=groups).to_csv(
                f"{folder}/{seed}_{q}.csv", index=False, float_format="%.17g"
            )
        command = ["Rscript", str(PROGRAM), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {}
    for line in done.stdout.splitlines():
        seed, method, package, *figures = line.split()
        X, *_ = simulate(int(seed))
        values = np.array(figures, dtype=float)
        key = int(seed), method, package
        found[key] = None
        if len(values):
            psi, level, *slopes = values
            found[key] = level + X[:, : len(slopes)] @ slopes, psi
    return found


def compare(sets):
    """Likelihoods by seed and method: {package: log-likelihood}."""
    from_r, rows = fit_r(sets), []
    for seed in sets:
        X, y, groups, q = simulate(seed)
        for method in METHODS:
            found = {"skmixed": fit_own(X, y, groups, q, method)}
            if not q:
                found["statsmodels"] = _tried(fit_statsmodels, X, y, groups, method)
            for (which, by, package), values in from_r.items():
                if (which, by) == (seed, method):
                    found[package] = values
            values = {
                package: -np.inf
                if pair is None
                else likelihood(X, y, groups, method, *pair)
                for package, pair in found.items()
            }
            rows.append((seed, method, q, values))
    return rows


def _tried(function, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*arguments)
        except Exception:
            return None


def report(rows):
    """Print how the packages compare."""
    above, below, counts = defaultdict(list), defaultdict(list), defaultdict(int)
    for seed, method, q, values in rows:
        own = values.pop("skmixed")
        for package, value in values.items():
            name = f"{package}, {'log-variance' if q else 'one variance'}"
            counts[name] += 1
            above[name].append(value - own)
            below[name].append(own - value)
            if value - own > BOUNDS[1]:
                print(f"set {seed}, {method}: {package} above by {value - own:.3g}")
    print(f"{len(rows)} fits by skmixed; log-likelihoods by the same dense oracle")
    head = "".join(f">{bound:.0e}".rjust(9) for bound in BOUNDS)
    print(f"{'':28}{'fits':>6}  above skmixed by{'':20}below{'':31}failed")
    print(f"{'':28}{'':6}{head}{head}")
    for name, count in counts.items():
        higher = "".join(f"{sum(d > b for d in above[name]):9d}" for b in BOUNDS)
        lower = "".join(
            f"{sum(b < d < np.inf for d in below[name]):9d}" for b in BOUNDS
        )
        failed = sum(d == np.inf for d in below[name])
        print(f"{name:28}{count:6d}{higher}{lower}{failed:9d}")


def main(n_sets=600, n_jobs=2):
    """Print the table."""
    chunks = [range(k, n_sets, 10 * n_jobs) for k in range(10 * n_jobs)]
    tasks = (delayed(compare)(sets) for sets in chunks)
    results = Parallel(n_jobs=n_jobs)(tasks)
    report(sorted((row for rows in results for row in rows), key=lambda r: r[:2]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
