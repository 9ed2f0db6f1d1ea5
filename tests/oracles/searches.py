"""Small linear mixed models, and their fits by the search."""

import numpy as np

from oracles import mixed_fits
from skmixed._input.table import Data
from skmixed._rows.mixed import reduce_terms
from skmixed._rows.term import Term
from skmixed._search.mixed import fit_mixed, likelihood_of

# Optima that different roads lead to, in -2 log-likelihood.
SAME = 1e-7


FULL, DIAGONAL = ((0, 1),), ((0,), (1,))


def term(codes, columns, blocks, name="f"):
    levels, codes = np.unique(codes, return_inverse=True)
    return Term(name, levels, codes.astype(np.int32), np.array(columns), blocks)


def data_of(X, y, weight=None):
    return Data(X, np.arange(X.shape[1]), None, y, weight)


def simulate(seed=0, n=240, n_levels=24, slope=0.7, crossed=0.0, nested=0.0):
    """Rows with effects of a level and a slope in x0, and of two further factors."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    first = rng.permutation(np.arange(n) % n_levels)
    other, around = rng.permutation(np.arange(n) % 9), first // 4
    y = X.sum(axis=1) + rng.normal(size=n)
    y = y + rng.normal(size=n_levels)[first] * 0.8
    y = y + slope * rng.normal(size=n_levels)[first] * X[:, 0]
    y = y + crossed * rng.normal(size=9)[other]
    y = y + nested * rng.normal(size=n_levels)[around]
    return X, y, first, other, around


def fit(X, y, terms, weight=None, **kwargs):
    return fit_mixed(data_of(X, y, weight), tuple(terms), **kwargs)


def posterior_of(found):
    last = max([*found.mean, *(i for term in found.terms for i in term.columns)])
    return mixed_fits.posterior_of(found, last + 1)


def modes_of(found):
    """Conditional modes of every term, (K, q), in the user's units."""
    posterior = posterior_of(found)
    return [posterior.modes(t) for t in range(len(found.terms))]


def model_of(X, y, terms, reml=True, alpha=0.0):
    terms = tuple(terms)
    reduced = reduce_terms(
        data_of(X, y),
        terms,
        np.arange(X.shape[1]),
        fit_intercept=True,
        alpha=alpha,
        n_jobs=None,
    )
    return likelihood_of(reduced, terms, reml, alpha)


def problems():
    """Terms of every kind, regular and singular optima."""
    X, y, first, other, around = simulate(crossed=0.9, nested=0.7)
    slopes = term(first, [-1, 0], FULL)
    yield "slopes", X, y, [slopes]
    yield "diagonal", X, y, [term(first, [-1, 0], DIAGONAL)]
    yield "nested", X, y, [slopes, term(around, [-1], ((0,),))]
    yield "crossed", X, y, [slopes, term(other, [-1, 1], FULL)]
    chain = [term(around, [-1, 0], FULL), term(first, [-1], ((0,),))]
    yield "chain and crossed", X, y, [*chain, term(other, [-1], ((0,),))]
    X, y, first, other, around = simulate(seed=3, slope=0.0)
    slopes = term(first, [-1, 0], FULL)
    yield "singular slopes", X, y, [slopes]
    yield "singular nested", X, y, [slopes, term(around, [-1, 1], FULL)]
    yield "singular crossed", X, y, [slopes, term(other, [-1], ((0,),))]


PROBLEMS = {name: rest for name, *rest in problems()}


def calendar(seed):
    """Levels and slopes of units in years AD, which differ from unit to unit."""
    rng = np.random.default_rng(seed)
    n_units, n_years = rng.integers(6, 60), rng.integers(4, 15)
    unit = np.repeat(np.arange(n_units), n_years)
    year = np.tile(np.arange(n_years), n_units) + rng.integers(0, 10, n_units)[unit]
    level = 10 ** rng.uniform(-1, 0.5) * rng.normal(size=n_units)
    slope = 10 ** rng.uniform(-2, 0) * rng.normal(size=n_units)
    y = 0.3 * year + level[unit] + slope[unit] * (year - year.mean())
    return 1990.0 + year[:, None], y + 0.5 * rng.normal(size=len(y)), unit
