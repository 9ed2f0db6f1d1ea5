"""A fit against the dense oracle: V written out, rows repeated as weights say."""

import numpy as np
from numpy.testing import assert_allclose

from oracles.laws import fit, has_maximum
from oracles.profiled import criterion_of
from oracles.reference import (
    block_covariance,
    condition,
    generalised_least_squares,
    log_likelihood,
)

# Of figures that are linear in y, and of covariances, at the same variances: condition
# numbers of a few thousand, squared by the oracle's normal equations.
FIGURE = 1e-7
# Of the brute search: starts besides the fit, and the least psi of a start.
N_STARTS, LEAST_PSI = 4, 1e-8


def compare(problem):
    """Fit an ordinary problem and compare all its figures.

    Returns how far the best of some rivals is above the fit, in log-likelihood; None
    where there is nothing to compare.
    """
    model, told = fit(problem)
    if "exactly" in told:
        return None
    options = {"mean_groups": "random", "mean_features": None} | model.get_params()
    rows = repeated(problem)
    X, y, codes = problem.dense[rows], problem.y[rows], problem.codes[rows]
    noise = model.predict_noise_std(problem.X, groups=problem.groups)[rows] ** 2
    V = np.diag(noise) + block_covariance(codes, 0.0, model.group_variance_)
    mean = options["mean_features"]
    mean = list(range(X.shape[1])) if mean is None else mean
    D, penalised = mean_columns(X[:, mean], codes, options)
    vbar = np.exp(np.mean(np.log(noise)))
    penalty = np.diag(options["alpha"] / vbar * penalised)
    if has_full_rank(D, penalty):
        _likelihood(model, options, D, y, V, penalty)
        _coefficients(model, options, D, y, V, penalty, mean)
    if options["mean_groups"] == "random" and options["alpha"] == 0:
        _predictions(model, problem, D, y, V, codes, noise)
    return best_rival(model, problem) if has_maximum(model, told) else None


def best_rival(model, problem):
    """How far the best of some local optima, searched for by brute force, is above the
    fit: BFGS from the fit and from random variances.  None where there is no criterion.
    """
    criterion = criterion_of(model, problem)
    if criterion is None:
        return None
    best = criterion.at_fit()
    rng = np.random.default_rng(problem.story["seed"])
    k, typical = len(criterion.slopes), np.mean(criterion.log_v)
    starts = [(np.zeros(k), max(criterion.psi, LEAST_PSI))]
    for _ in range(N_STARTS):
        starts.append((rng.normal(size=k), np.exp(typical + 3 * rng.normal())))
    return max(criterion.climb(*start) for start in starts) - best


def repeated(problem):
    """Rows as often as they count."""
    rows = np.arange(len(problem.y))
    if problem.weight is None:
        return rows
    return np.repeat(rows, problem.weight.astype(int))


def mean_columns(X, codes, options):
    """Columns of the mean, and which of them a ridge shrinks."""
    constant = np.ones((len(X), int(options["fit_intercept"])))
    onehot = np.empty((len(X), 0))
    if options["mean_groups"] == "fixed":
        onehot = np.eye(codes.max() + 1)[:, np.unique(codes)][codes]
        if not options["alpha"]:
            constant = constant[:, :0]
    free = np.zeros(constant.shape[1])
    shrunk = np.ones(X.shape[1] + onehot.shape[1])
    return np.hstack([constant, X, onehot]), np.append(free, shrunk)


def has_full_rank(D, penalty):
    """Whether coefficients are determined."""
    return not D.size or np.linalg.cond(D.T @ D + penalty) < 1e8


def _likelihood(model, options, D, y, V, penalty):
    beta, covariance = generalised_least_squares(D, y, V, penalty)
    value = log_likelihood(D, y, V, reml=False, beta=beta)
    if options["method"] == "reml":
        if options["mean_groups"] == "fixed" and options["alpha"]:
            return  # one column of D is redundant but for the penalty
        value += 0.5 * D.shape[1] * np.log(2 * np.pi)
        value += 0.5 * np.linalg.slogdet(covariance)[1]
    assert_allclose(model.log_likelihood_, value, rtol=FIGURE, atol=FIGURE)


def _coefficients(model, options, D, y, V, penalty, mean):
    beta, covariance = generalised_least_squares(D, y, V, penalty)
    first = int(options["fit_intercept"] and "fixed" not in _levels(options))
    where = slice(first, first + len(mean))
    assert_allclose(model.coef_[mean], beta[where], rtol=FIGURE, atol=FIGURE)
    std = np.sqrt(np.diag(covariance))[where]
    assert_allclose(model.coef_std_[mean], std, rtol=FIGURE, atol=FIGURE)
    if first and options["mean_groups"] != "fixed":
        assert_allclose(model.intercept_, beta[0], rtol=FIGURE, atol=FIGURE)


def _levels(options):
    """Where fixed levels of groups take the place of an intercept."""
    return {options["mean_groups"]} if not options["alpha"] else set()


def _predictions(model, problem, D, y, V, codes, noise):
    """Joint distribution of new rows: of known groups, and of two new ones."""
    some = np.arange(0, len(problem.y), 3)
    X, labels = problem.dense[some], np.asarray(problem.groups, dtype=object)[some]
    known = problem.codes[some].copy()
    gone = ~np.isin(known, codes)  # of weight 0
    known[gone] += problem.codes.max() + 1
    mean, covariance = model.predict(X, groups=list(labels), return_cov=True)
    psi = model.group_variance_
    fresh = model.predict_noise_std(X, groups=list(labels)) ** 2
    V_new = np.diag(fresh) + block_covariance(known, 0.0, psi)
    cross = psi * (known[:, None] == codes)
    constant = np.ones((len(X), int(model.fit_intercept)))
    features = getattr(model, "mean_features", None)
    columns = X if features is None else X[:, features]
    expected = condition(D, y, V, np.hstack([constant, columns]), V_new, cross)
    assert_allclose(mean, expected[0], rtol=FIGURE, atol=FIGURE)
    assert_allclose(covariance, expected[1], rtol=FIGURE, atol=FIGURE)
