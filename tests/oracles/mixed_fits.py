"""Fits of the problems of `oracles.mixed`, and these at the fitted variances."""

import numpy as np

from oracles import mixed
from skmixed._input.table import Data
from skmixed._results.mixed_posterior import make_posterior
from skmixed._rows.term import Term
from skmixed._search.mixed import fit_mixed


def fit(at, reml=True, alpha=0.0):
    """The fit of a problem's rows; effects are of a constant and the first features."""
    X = at.X[:, 1:]
    data = Data(X, np.arange(X.shape[1]), None, at.y, at.weight)
    terms = []
    for k, term in enumerate(at.terms):
        labels = np.arange(term.codes.max() + 1)
        columns = np.arange(len(term.Psi)) - 1
        codes = term.codes.astype(np.int32)
        terms.append(Term(f"f{k}", labels, codes, columns, term.blocks))
    return fit_mixed(data, tuple(terms), reml=reml, alpha=alpha)


def posterior_of(found, n_features):
    """The posterior at an optimum."""
    where = found.terms, found.mean, n_features
    return make_posterior(found.point, found.reduced, *where)


def at_fit(at, found, alpha=0.0):
    """The problem at the fitted variances."""
    here = mixed.with_psi(at, found.covariances, found.noise_variance)
    penalty = np.diag([0.0, *np.ones(at.X.shape[1] - 1)]) * alpha
    return mixed.replace(here, penalty=penalty / found.noise_variance)
