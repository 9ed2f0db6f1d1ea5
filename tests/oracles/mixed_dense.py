"""A fit of a linear mixed model against the dense oracle (`oracles.mixed`): V written
out at the fitted variances, rows repeated as weights say.
"""

import numpy as np
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from oracles import laws, mixed
from oracles import random_terms as terms_of
from oracles.mixed_criterion import criterion_of, has_few_rows
from oracles.mixed_doors import has_maximum

SMALLEST_N, LARGEST_N, LARGEST_P = 10, 40, 3
# Of the random numbers; other problems have other series.
SERIES = 2
TABLES = "frame", "frame", "structured", "array"
# How often the noise is modelled, whose fits take long where rows are few.
UNEVEN = 0.15
# Of figures at the same variances, by matrices of this condition at the worst; the
# equations of the oracle are not orthogonalised.
FIGURE, WORST, EPS = 1e-6, 1e7, np.finfo(float).eps
# Rows of new labels beside those of known ones, and rows of an update.
N_NEW, N_LATER = 6, 5
# Brute force: every so manieth problem is searched, from as many random starts beside
# unit covariances.
EVERY, N_STARTS = 5, 2


def ordinary_mixed_problem(number):
    """The small problem of full rank in common units with this number: one to three
    factors, slopes.
    """
    rng, pick = np.random.default_rng([number, SERIES]), terms_of.pick
    n = int(rng.integers(SMALLEST_N, LARGEST_N + 1))
    p, n_factors = int(rng.integers(LARGEST_P + 1)), int(rng.integers(1, 4))
    table = pick(rng, TABLES) if n_factors > 1 else "column"
    kinds = terms_of.KINDS.get(table, terms_of.rows.LABELS)
    story = {
        "n": n,
        "columns": ["normal"] * p,
        "target": "model",
        "noise": pick(rng, [1.0, 0.1]),
        "levels": [
            pick(rng, ["random", "random", "pairs", "giant"]),
            *(pick(rng, terms_of.RELATIONS) for _ in range(n_factors - 1)),
        ],
        "n_levels": int(rng.integers(2, max(2, n // 3) + 1)),
        "terms": [terms_of.any_term(rng, p) for _ in range(n_factors)],
        "weight": pick(rng, [None, None, "counts"]),
        "table": table,
        "labels": [pick(rng, kinds) for _ in range(n_factors)],
        "container": pick(rng, ["array", "frame"]),
        "unit": 0,
        "units": [0] * p,
        "seed": int(rng.integers(2**32)),
    }
    options = {
        "method": pick(rng, ["reml", "ml"]),
        "fit_intercept": bool(rng.random() < 0.75),
        "alpha": pick(rng, [0.0, 0.0, 0.0, 1.0]),
    }
    if p and rng.random() < UNEVEN:
        options["variance_features"] = rng.permutation(p)[: rng.integers(1, 3)].tolist()
    return terms_of.make(options, story)


def compare(problem):
    """Fit an ordinary problem and compare all its figures.

    Returns how far the best of some rivals is above the fit, in log-likelihood; None
    where nothing is compared.
    """
    model, told = laws.fit(problem)
    if "exactly" in told:
        return None
    rows = repeated(problem)
    at = at_fit(model, problem, rows)
    if not has_digits(at):
        return None
    _estimates(model, at)
    _random_effects(model, problem, at)
    _predictions(model, problem, at)
    if hasattr(model, "noise_variance_"):
        _update(model, problem, at)
    if problem.story["seed"] % EVERY or not has_maximum(model, told):
        return None
    return best_rival(model, problem)


def repeated(problem):
    """Rows as often as they count."""
    rows = np.arange(len(problem.y))
    return rows if problem.weight is None else rows.repeat(problem.weight.astype(int))


def with_constant(model, X):
    """Columns of the mean."""
    return np.column_stack([np.ones((len(X), int(model.fit_intercept))), X])


def columns_of(problem, k, X):
    """Columns of the random effects of factor k."""
    columns, intercept, _ = problem.story["terms"][k]
    return np.column_stack([np.ones((len(X), int(intercept))), X[:, list(columns)]])


def factor_names(model, problem):
    """Names of the factors in the order of the problem's."""
    if len(problem.codes) == 1:
        return list(model.random_effects_covariance_)
    return list(terms_of.NAMES[: len(problem.codes)])


def terms_at(model, problem, X, codes):
    """Terms of some rows at the fitted covariances."""
    found = []
    for k, name in enumerate(factor_names(model, problem)):
        Psi = model.random_effects_covariance_[name]
        found.append(mixed.Term(columns_of(problem, k, X), codes[k], Psi))
    return tuple(found)


def at_fit(model, problem, rows):
    """The dense problem at the fitted variances."""
    noise = model.predict_noise_std(problem.X, groups=problem.groups)[rows] ** 2
    X = with_constant(model, problem.dense[rows])
    shrunk = np.arange(X.shape[1]) >= int(model.fit_intercept)
    penalty = np.diag(model.alpha / np.exp(np.mean(np.log(noise))) * shrunk)
    codes = [c[rows] for c in problem.codes]
    terms = terms_at(model, problem, problem.dense[rows], codes)
    return mixed.problem(X, problem.y[rows], terms, noise, penalty=penalty)


def has_digits(at):
    """Whether coefficients are determined, with some rows beyond them, V can be solved
    with, and no row is next to exact: its cross-products are in units of its noise.
    """
    n, p = at.X.shape
    full = n > p + 1 and (not p or np.linalg.cond(at.X.T @ at.X) < WORST)
    exact = EPS * np.diag(at.V).max() > FIGURE * at.noise.min()
    return full and not exact and np.linalg.cond(at.V) < WORST


def close(value, expected):
    """Equal but for rounding."""
    assert_allclose(value, expected, rtol=FIGURE, atol=FIGURE)


# --------------------------------------------------------------------------- figures


def _estimates(model, at):
    beta, covariance = mixed.coefficients(at)
    value = mixed.log_likelihood(at, model.method == "reml")
    close(model.log_likelihood_, value)
    first = int(model.fit_intercept)
    close(model.coef_, beta[first:])
    close(model.coef_covariance_[1:, 1:], covariance[first:, first:])
    close(model.coef_std_, np.sqrt(np.diag(covariance))[first:])
    if first:
        close(model.intercept_, beta[0])
        close(model.coef_covariance_[0], covariance[0])


def _random_effects(model, problem, at):
    """Modes and both standard deviations of every level, in the order of labels."""
    for k, name in enumerate(factor_names(model, problem)):
        levels = np.unique(at.terms[k].codes)
        assert len(model.groups_[name]) == len(levels)
        modes, known, error = mixed.random_effects(at, k, levels)
        close(model.random_effects_[name], modes)
        for std, cov in (
            (model.random_effects_conditional_std_, known),
            (model.random_effects_std_, error),
        ):
            # A variance of 0 has the rounding of its parts, of order 1e-15.
            diagonal = np.diagonal(cov, axis1=1, axis2=2)
            close(std[name] ** 2, diagonal)


def _some_rows(problem, rng, n):
    """Features, codes and labels of rows whose labels are known or new by factor."""
    X = rng.normal(size=(n, problem.dense.shape[1]))
    codes = []
    for c in problem.codes:
        chosen = rng.integers(c.max() + 1, size=n)
        new = rng.random(n) < 0.3
        codes.append(np.where(new, c.max() + 1 + rng.integers(2, size=n), chosen))
    story = problem.story
    labels = terms_of.make_table(story["table"], story["labels"], codes)
    X_given = terms_of.rows.put_into(story["container"], X)
    return X, X_given, codes, labels


def _oracle_rows(model, problem, X, codes):
    terms = terms_at(model, problem, X, codes)
    return mixed.Rows(with_constant(model, X), terms)


def _predictions(model, problem, at):
    """The joint distribution of new rows and its density, known and new by factor."""
    rng = np.random.default_rng(problem.story["seed"])
    X, given, codes, groups = _some_rows(problem, rng, N_NEW)
    mean, covariance = mixed.predict(at, _oracle_rows(model, problem, X, codes))
    expected, std = model.predict_mean(given, groups=groups, return_std=True)
    close(expected, mean)
    close(std**2, np.diag(covariance))
    noise = model.predict_noise_std(given, groups=groups) ** 2
    covariance = covariance + np.diag(noise)
    got, cov = model.predict(given, groups=groups, return_cov=True)
    close(got, mean)
    close(cov, covariance)
    if np.linalg.cond(covariance) < WORST:
        y = mean + rng.normal(size=N_NEW)
        density = model.log_predictive_density(given, y, groups=groups)
        close(density, multivariate_normal(mean, covariance).logpdf(y))


def _update(model, problem, at):
    """Effects after further rows, of which coefficients do not learn."""
    if not any(np.any(term.Psi) for term in at.terms):
        return
    rng = np.random.default_rng(problem.story["seed"] + 1)
    X, given, codes, groups = _some_rows(problem, rng, N_LATER)
    y = rng.normal(size=N_LATER)
    more = _oracle_rows(model, problem, X, codes)
    model.update_random_effects(given, y, groups=groups)
    X, given, codes, groups = _some_rows(problem, rng, N_NEW)
    new = _oracle_rows(model, problem, X, codes)
    noise = model.noise_variance_
    mean, covariance = mixed.predict_after(at, more, y, noise, new)
    got, cov = model.predict(given, groups=groups, return_cov=True)
    close(got, mean)
    close(cov, covariance + noise * np.eye(N_NEW))


# ---------------------------------------------------------------------------- rivals


def best_rival(model, problem):
    """How far the best of some local optima, found by brute force, is above the fit;
    None where a modelled noise has too few rows for a maximum, or no way leads to one.
    """
    criterion, roots, gamma = criterion_of(model, problem)
    if has_few_rows(criterion):
        return None
    rng = np.random.default_rng(problem.story["seed"])
    starts = [criterion.identity, *(criterion.draw(rng) for _ in range(N_STARTS))]
    highest = criterion.highest(starts)
    return None if highest is None else highest - criterion.exactly(roots, gamma)[0]
