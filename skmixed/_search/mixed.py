"""The fit of a linear mixed model with constant noise (docs/math.md, section 11).

From validated rows and terms to everything that is said about them.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from .._likelihood.covariance import coordinates
from .._likelihood.mixed import LinearMixed, Point, evaluate
from .._likelihood.one_variance import (
    RandomIntercept,
    check_freedom,
    deviance,
    has_freedom,
    is_exact,
)
from .._rows.columns import (
    Columns,
    check_range,
    choose_columns,
    noise_floor,
    rank_tolerance,
)
from .._rows.elimination import eliminate, reader
from .covariances import Optimum, best_covariances
from .ratio import best_ratio


@dataclass(frozen=True)
class MixedFit:
    """A fitted linear mixed model, in the user's units; tuples are by terms.

    Attributes
    ----------
    terms : tuple of Term
    columns : Columns
        From the columns of the mean to working columns and back.
    mean : ndarray of shape (p,)
        Positions of the columns of the mean among the features.
    point : Point
        The likelihood at the optimum, in the effects of the search.
    n_iter : int
        Number of evaluations.
    converged : bool
    identified : tuple of ndarray of shape (q,)
        Whether the data can tell the variance of an effect.
    """

    terms: tuple
    columns: Columns
    mean: np.ndarray
    point: Point
    n_iter: int
    converged: bool
    identified: tuple

    @property
    def noise_variance(self):
        """Variance of the noise."""
        return float(self.point.noise_variance)

    @property
    def log_likelihood(self):
        """The maximised criterion, constants included, the ridge penalty left out."""
        return float(-0.5 * deviance(self.point.model, self.point))

    @property
    def exact(self):
        """Whether the noise is what rounding leaves of an exact fit."""
        return is_exact(self.noise_variance, self.point.model.floor)

    @property
    def beta(self):
        """Working coefficients."""
        return self.point.factor.beta

    @property
    def root(self):
        """Root of the covariance of the working coefficients: Cov = root root'."""
        return np.sqrt(self.noise_variance) * self.point.factor.root_inverse

    @property
    def covariances(self):
        """Psi of every term."""
        model, point = self.point.model, self.point
        return tuple(
            self.noise_variance * c.to_user(L @ L.T)
            for c, L in zip(model.covariances, point.Lambdas, strict=True)
        )

    @property
    def ranks(self):
        """Rank of Psi of every term."""
        return tuple(np.linalg.matrix_rank(L) for L in self.point.Lambdas)

    @property
    def modes(self):
        """Conditional modes of the effects of every term, (K, q)."""
        pairs = zip(self.point.modes, self.point.model.covariances, strict=True)
        return tuple(modes @ c.basis.T for modes, c in pairs)

    @property
    def loading(self):
        """What an error ``root @ v`` of beta does to the modes of every term, times -v:
        (K, q, p).
        """
        point, found = self.point, []
        triples = zip(point.pulls, point.Lambdas, point.model.covariances, strict=True)
        for (_, k), Lambda, c in triples:
            Psi = c.basis @ Lambda @ Lambda.T
            found.append(np.sqrt(self.noise_variance) * (Psi @ k))
        return tuple(found)

    @property
    def conditional(self):
        """Covariance of the effects of every level given y and beta, (K, q, q)."""
        pairs = zip(
            self.point.factor.conditional, self.point.model.covariances, strict=True
        )
        scale = self.noise_variance
        return tuple(scale * (c.basis @ Sig @ c.basis.T) for Sig, c in pairs)


def fit_mixed(
    data,
    terms,
    *,
    mean=None,
    reml=True,
    fit_intercept=True,
    alpha=0.0,
    n_jobs=None,
    names=str,
    max_iter=100,
):
    """Fit a linear mixed model by (restricted) maximum likelihood.

    Parameters
    ----------
    data : Data
        X of all features that the mean or the terms need; `index` is not read.
    terms : tuple of Term
        Their codes are about the rows of `data`.
    mean : ndarray of shape (p,), default=None
        Positions of the columns of the mean among those of X; None means all.
    reml : bool, default=True
    fit_intercept : bool, default=True
    alpha : float, default=0.0
        Ridge penalty.
    n_jobs : int, default=None
        See `skmixed._blocks.map_runs`.
    names : callable, default=str
        ``names(j)`` is what to call column j of X in messages, y being the last.
    max_iter : int, default=100
        Iterations of the search, from each start.

    Returns
    -------
    MixedFit

    Raises
    ------
    ValueError
        If squares of a column are out of range, or under REML the weights sum to less
        than the number of coefficients.
    """
    mean = np.arange(data.X.shape[1]) if mean is None else np.asarray(mean, dtype=int)
    columns, model = reduce_terms(
        data, terms, mean, reml, fit_intercept, float(alpha), n_jobs, names
    )
    optimum = best_optimum(model, max_iter)
    identified = tuple(np.ones(c.q, dtype=bool) for c in model.covariances)
    return MixedFit(
        terms=tuple(terms),
        columns=columns,
        mean=mean,
        point=optimum.point,
        n_iter=optimum.n_evaluations,
        converged=optimum.converged,
        identified=identified,
    )


def reduce_terms(data, terms, mean, reml, fit_intercept, alpha, n_jobs, names):
    """The working columns and the likelihood of some rows."""
    (term,) = terms
    n, p = data.X.shape
    elimination = eliminate(
        reader(data.X, data.y),
        term.codes,
        term.n_levels,
        term.columns + 1,
        data.weight,
        n_jobs,
    )
    moments = elimination.moments()
    check_range(moments, names)
    columns = choose_columns(
        moments.columns(np.append(mean, p)),
        fit_intercept=fit_intercept,
        alpha=alpha,
        tolerance=rank_tolerance(n, len(mean), sparse.issparse(data.X)),
    )
    gram = elimination.gram(columns, mean + 1)
    shift = elimination.shift[elimination.positions] * elimination.has_constant
    change, covariance = coordinates(gram.R11, shift, term.blocks, elimination.n)
    model = LinearMixed(
        gram=replace(gram, R11=gram.R11 @ change),
        covariances=(covariance,),
        n=elimination.n,
        reml=reml,
        floor=noise_floor(moments, columns.has_constant),
        penalty=columns.penalty(alpha),
        logdet_basis=columns.logdet_basis,
    )
    return columns, model


def best_optimum(model, max_iter):
    """The best optimum; one variance has a search of its own, which is global."""
    zero = evaluate(model, tuple(np.zeros((c.q, c.q)) for c in model.covariances))
    free = zero.factor_freedom
    check_freedom(model.n, model.n - free)
    if not has_freedom(model, free):
        return Optimum(zero, 1, True)
    if [c.q for c in model.covariances] == [1]:
        return _best_of_one(model)
    return best_covariances(model, max_iter)


def _best_of_one(model):
    """The optimum of a model with one variance."""
    told = model.gram.R11[:, 0, 0] > 0
    gram = replace(
        model.gram,
        R11=model.gram.R11[told],
        R12=model.gram.R12[told],
        multiplicity=model.gram.multiplicity[told],
    )
    one = RandomIntercept(
        gram=gram,
        n=model.n,
        reml=model.reml,
        floor=model.floor,
        penalty=model.penalty,
        logdet_basis=model.logdet_basis,
    )
    found = best_ratio(one)
    point = evaluate(model, (np.array([[np.sqrt(found.ratio)]]),))
    return Optimum(point, found.n_evaluations, True)
