"""Does the search find the best of several optima?

    python docs/studies/several_optima.py [n_sets first_seed]

Simulates sets like the Machines data (6 workers, 3 machines, 3 observations each, the
interaction of worker and machine taken for noise), whose likelihood often has several
optima: each machine may be the one that tells what a worker is like.  Every set is
fitted, and its likelihood is searched from 25 random starts as well.  Counts the sets
with several optima, and those where the fit missed the best of the random starts.
"""

import sys

import numpy as np

from skmixed import HeteroscedasticGaussianRegressor
from skmixed._likelihood.heteroscedastic.criterion import gram_at
from skmixed._search.heteroscedastic.search import Search
from skmixed._search.heteroscedastic.starts import best_constant, scaled
from skmixed.heteroscedastic import read_problem

N_STARTS = 25
SAME = 1e-5  # in log-likelihood
N_WORKERS, N_MACHINES, N_REPEATS = 6, 3, 3


def simulate(seed):
    """Machines one-hot, scores, workers."""
    rng = np.random.default_rng(seed)
    machine = np.tile(np.repeat(np.arange(N_MACHINES), N_REPEATS), N_WORKERS)
    worker = np.repeat(np.arange(N_WORKERS), N_MACHINES * N_REPEATS)
    level = np.array([52.0, 60.0, 66.0])
    of_worker = rng.uniform(1, 6) * rng.normal(size=N_WORKERS)
    scales = rng.uniform(0.3, 5, size=N_MACHINES)
    interaction = scales * rng.normal(size=(N_WORKERS, N_MACHINES))
    noise = rng.uniform(0.3, 1.5) * rng.normal(size=len(worker))
    y = level[machine] + of_worker[worker] + interaction[worker, machine] + noise
    return np.eye(N_MACHINES)[machine], y, worker


def fit(seed):
    """The model of set `seed`: REML for even seeds, ML for odd ones."""
    X, y, groups = simulate(seed)
    model = HeteroscedasticGaussianRegressor(
        method="ml" if seed % 2 else "reml",
        fit_intercept=False,
        fit_variance_intercept=False,
    )
    return model.fit(X, y, groups=groups), X, y, groups


def random_optima(problem, X, seed, n_starts=N_STARTS):
    """Log-likelihoods of the optima that random starts lead to."""
    rng, model, found = np.random.default_rng(seed), problem.model, []
    search = Search(model, kappa=None, tol=1e-10, max_iter=200)
    for _ in range(n_starts):
        coef = rng.normal(scale=2, size=X.shape[1])
        theta = np.append(np.linalg.pinv(problem.variance_columns.back) @ coef, 0.0)
        best = best_constant(model, gram_at(model, model.trend(theta)), floor=0.0)
        start = scaled(model, theta, best)
        start[-1] *= np.exp(rng.normal(scale=2))
        optimum = search.descend(start)
        found.append(optimum.point.log_likelihood)
    return np.array(found)


def main(n_sets=400, first_seed=0):
    """Print the counts, for as many sets with several optima."""
    several, missed, seed = 0, 0, first_seed
    while several < n_sets:
        model, X, y, groups = fit(seed)
        _, problem = read_problem(model, X, y, groups)
        found = random_optima(problem, X, seed)
        if np.ptp(found) > SAME:
            several += 1
            if model.log_likelihood_ < found.max() - SAME:
                missed += 1
                gap = found.max() - model.log_likelihood_
                print(f"seed {seed}: {gap:.3f} below the best")
        seed += 1
    print(
        f"{seed - first_seed} sets, {several} with several optima; the fit missed the "
        f"best of {N_STARTS} random starts in {missed}"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
