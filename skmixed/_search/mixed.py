"""The fit of a linear mixed model, constant or modelled noise (docs/math.md, 11, 16).

From validated rows and terms to everything that is said about them.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .._likelihood.covariance import NULL, Covariance
from .._likelihood.criterion import (
    RANGE,
    check_freedom,
    deviance,
    has_freedom,
    is_exact,
)
from .._likelihood.mixed import LinearMixed, MixedPoint, evaluate
from .._likelihood.modelled_noise import ModelledNoisePoint
from .._rows.by_rows import are_rows_fewer, row_gram
from .._rows.iterative import IterativeGram
from .._rows.mixed import Reduced, Solver, reduce_terms
from .._rows.qr import EPS
from .covariances import (
    are_sums,
    best_covariances,
    largest_variance,
    no_variance,
    told_variances,
)
from .descent import STALLED, Optimum, in_digits
from .iterative import best_iterative
from .modelled_noise import (
    ModelledNoiseProblem,
    at_generic_noise,
    best_noise,
    make_noise_problem,
    search_pattern,
    structure_of,
)
from .ratio import best_ratio

# A rise of the deviance by less than this is none.
NO_COST = 1e-6


@dataclass(frozen=True)
class MixedOptimum:
    """A fitted linear mixed model, in the user's units; tuples are by terms.

    Attributes
    ----------
    terms : tuple of Term
    mean : ndarray of shape (p,)
        Positions of the columns of the mean among the features.
    reduced : Reduced
        Of the rows, in the order of elimination.
    point : MixedPoint
        The likelihood at the optimum, in the effects of the search and in the order of
        elimination.
    n_iter : int
        Number of evaluations.
    converged : bool
    identified : tuple of ndarray of shape (q,)
        Whether the data can tell the variance of an effect.
    noise_problem : ModelledNoiseProblem or None
        The likelihood of the log-variance; None where the noise is constant.
    noise_point : ModelledNoisePoint or None
        Its optimum, of which `point` is a part.
    log_bounds : tuple of float
        Least and largest log-variance of a row, the known part of it left out.
    """

    terms: tuple
    mean: np.ndarray
    reduced: Reduced
    point: MixedPoint
    n_iter: int
    converged: bool
    identified: tuple
    noise_problem: ModelledNoiseProblem | None = None
    noise_point: ModelledNoisePoint | None = None
    log_bounds: tuple = (-np.inf, np.inf)

    @property
    def columns(self):
        """The `Columns` of the mean: the user's to working columns, and back."""
        return self.reduced.columns

    @property
    def order(self):
        """Positions of the terms in the order of elimination."""
        return self.reduced.order

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
        """Whether the noise is the rounding of an exact fit: of y, or of effects so far
        above it that derivatives have no digits and the search has found no optimum.
        """
        lost = not self.converged and EPS * largest_variance(self.point) > 1
        return bool(lost) or is_exact(self.noise_variance, self.point.model.floor)

    @property
    def covariances(self):
        """Psi of every term."""
        pairs = zip(self.reduced.coordinates, self.point.Lambdas, strict=True)
        scale = self.noise_variance
        return self.of_user([scale * c.covariance(L) for c, L in pairs])

    @property
    def ranks(self):
        """Rank of Psi of every term."""
        pairs = zip(self.point.model.covariances, self.point.Lambdas, strict=True)
        return self.of_user([_rank(c, L @ L.T) for c, L in pairs])

    def of_user(self, figures):
        """Figures of the terms in the user's order."""
        found = [None] * len(figures)
        for position, figure in zip(self.order, figures, strict=True):
            found[position] = figure
        return tuple(found)


def _rank(covariance, Psi):
    """Rank of Psi, block by block."""
    rank = 0
    for block in map(list, covariance.blocks):
        values = np.linalg.eigvalsh(Psi[np.ix_(block, block)])
        rank += np.count_nonzero(values > NULL * values[-1])
    return rank


def fit_mixed(
    data,
    terms,
    *,
    mean=None,
    reml=True,
    alpha=0.0,
    noise=None,
    search=(100, 0),
    **reduction,
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
    alpha : float, default=0.0
        Ridge penalty.
    noise : Noise, default=None
        The log-variance; None where the noise is constant.
    search : (int, int), default=(100, 0)
        Iterations of the search, from each start, and the seed of the random starts.
    **reduction
        `fit_intercept`, `n_jobs`, `names` and `solver` of `reduce_terms`.

    Returns
    -------
    MixedOptimum

    Raises
    ------
    ValueError
        If squares of a column are out of range, or under REML the weights sum to less
        than the number of coefficients.
    """
    mean = np.arange(data.X.shape[1]) if mean is None else np.asarray(mean, dtype=int)
    (max_iter, seed), how = search, {"alpha": float(alpha)} | reduction
    reduced, problem = _reduce(data, terms, mean, noise, reml, how)
    model = likelihood_of(reduced, terms, reml, float(alpha))
    model = replace(model, seed=seed, n_rows=data.n_observed)
    searched = replace(model, gram=_searched_gram(data, terms, mean, noise, reduced))
    # The optimum of equal noise is but a start where the log-variance has columns.
    settled = problem is None or not problem.has_columns
    optimum, told = best_optimum(searched, reduced.order, max_iter, settled)
    optimum, modelled = with_gram(optimum, reduced.gram), {}
    if problem is not None:
        how = model, reduced.order, max_iter
        optimum, told, modelled = _with_noise(problem, optimum, told, *how)
        reduced = replace(reduced, gram=optimum.point.model.gram)
    fit = MixedOptimum(
        terms=tuple(terms),
        mean=mean,
        reduced=reduced,
        point=optimum.point,
        n_iter=optimum.n_evaluations,
        converged=optimum.converged,
        identified=(),
        **modelled,
    )
    return replace(fit, identified=fit.of_user(told))


def _reduce(data, terms, mean, noise, reml, how):
    """The `Reduced` rows and the likelihood of the log-variance, None where there is
    none; `how` has the other parameters of `reduce_terms`, and `alpha`.
    """
    chosen = Solver(*how.get("solver", ()))
    solver = Solver(chosen.name, chosen.seed, is_dense=noise is not None)
    reduced = reduce_terms(data, terms, mean, **how | {"solver": solver})
    if noise is None:
        return reduced, None
    _check_direct(reduced)
    options = {"reml": reml, "alpha": how["alpha"]}
    options["fit_intercept"] = how.get("fit_intercept", True)
    structure = structure_of(noise, terms, mean, **options)
    where = noise.partitions, how.get("n_jobs")
    problem = make_noise_problem(data, terms, reduced, structure, *where)
    return problem.reduced, problem


def _searched_gram(data, terms, mean, noise, reduced):
    """The rows as a search for equal noise reads them: one by one where effects
    outnumber them, unless a part of their variances is known.
    """
    has_offset = noise is not None and noise.offset is not None
    if has_offset or not are_rows_fewer(reduced.gram, data.X.shape[0]):
        return reduced.gram
    return row_gram(data, terms, mean, reduced)


def _check_direct(reduced):
    """Refuse a log-variance beside the iterative solver."""
    if isinstance(reduced.gram, IterativeGram):
        raise ValueError(
            "variance_features and variance_offset need solver='direct' where factors "
            "cross; the iterative solver has constant noise. With more than 5,000 "
            "effects beside the largest factor, choose it by hand."
        )


def _with_noise(problem, constant, told, *how):
    """The optimum with a log-variance, which variances the data can tell, and the
    fields of a fit about the former.

    `told` are the variances that the data tell at equal noise; `how` are the model, the
    order of its terms, and the iterations of a search.

    Bounds are those of the search, about the noise variance of the constant model for
    one random intercept, and about the fitted one for other random effects, beside
    which the constant model may be an exact fit.
    """
    found, told = _told_by_noise(problem, constant, told, *how)
    about = found.point if problem.one_factor is None else constant.point
    level = np.log(about.noise_variance) - problem.average_offset
    fields = {"noise_problem": problem, "noise_point": found.point}
    fields["log_bounds"] = float(level - np.log(RANGE)), float(level + np.log(RANGE))
    return replace(found, point=found.point.mixed), told, fields


def _told_by_noise(problem, constant, told, model, order, max_iter):
    """The best optimum with a log-variance, and which variances the data can tell:
    where equal noise does not tell all, rows with noise of their own may tell more.
    """
    found = best_noise(problem, constant, max_iter)
    if all(some.all() for some in told) or found.is_exact or not len(found.point.gamma):
        return found, told
    if problem.one_factor is not None:
        return found, [np.array([problem.one_factor.model.random])]
    zero, second = at_generic_noise(problem.noise, model)
    told = told_variances(zero, order, second)
    best = _cheaper(search_pattern(found, model.only(told), max_iter), found)
    if not are_sums(zero, told, second):
        best = _cheaper(best, search_pattern(best, model, max_iter))
    return best, told


def _cheaper(simpler, other):
    """The simpler of two optima, unless the other one is better; one of the two has
    counted the evaluations of both.
    """
    spent = max(simpler.n_evaluations, other.n_evaluations)
    costs = simpler.point.value - other.point.value
    return replace(other if costs > NO_COST else simpler, n_evaluations=spent)


def with_gram(optimum, gram):
    """The same optimum of the same rows in another form; it has not converged where
    that form has lost digits of its value, as next to an exact fit.
    """
    point = optimum.point
    if point.model.gram is gram:
        return optimum
    at = partial(evaluate, replace(point.model, gram=gram))
    new = in_digits(at, point.Lambdas)
    kept = new.value - point.value <= STALLED * max(point.rounding, new.rounding)
    converged = bool(optimum.converged and (kept or optimum.is_exact))
    return Optimum(new, optimum.n_evaluations + 1, converged)


def likelihood_of(reduced, terms, reml, alpha):
    """The likelihood of reduced rows."""
    columns = reduced.columns
    covariances = []
    for t, coordinates in zip(reduced.order, reduced.coordinates, strict=True):
        pattern = Covariance(terms[t].n_columns, terms[t].blocks)
        covariances.append(pattern.without(np.flatnonzero(~coordinates.present)))
    return LinearMixed(
        gram=reduced.gram,
        covariances=tuple(covariances),
        n=reduced.n,
        reml=reml,
        floor=reduced.floor,
        penalty=columns.penalty(alpha),
        logdet_basis=columns.logdet_basis,
    )


def best_optimum(model, order, max_iter, settled=True):
    """The best optimum, and which variances the data can tell; one variance has a
    search of its own, which is global.

    Parameters
    ----------
    model : LinearMixed
    order : tuple of int
        Positions of its terms among the user's.
    max_iter : int
    settled : bool, default=True
        As of `best_covariances`.

    Returns
    -------
    optimum : Optimum
    identified : list of ndarray of shape (q,)
        By terms.  A variance that the data cannot tell, from the noise and from those
        before it, is 0 where that costs nothing: where it does not covary with others.
    """
    zero = no_variance(model)
    free = zero.factor_freedom
    check_freedom(model.n, model.n - free)
    all_told = [np.ones(c.q, dtype=bool) for c in model.covariances]
    if not has_freedom(model, free):
        return Optimum(zero, 1, True), [~told for told in all_told]
    if not model.covariances or zero.at_floor:
        return Optimum(zero, 1, True), all_told
    if [c.q for c in model.covariances] == [1]:
        return _best_of_one(zero, told_variances(zero, order))
    if isinstance(model.gram, IterativeGram):
        return best_iterative(zero, order, max_iter)
    told = told_variances(zero, order)
    search = partial(best_covariances, max_iter=max_iter, settled=settled)
    if all(some.all() for some in told):
        return search(zero), told
    simpler = search(no_variance(model.only(told)))
    if simpler.is_exact:
        return simpler, told  # it leaves nothing to other variances
    if are_sums(zero, told) and not _may_fall(model, simpler, told):
        return replace(simpler, n_evaluations=simpler.n_evaluations + 1), told
    other = search(zero, simpler=simpler.point)
    spent = simpler.n_evaluations + other.n_evaluations
    return _cheaper(simpler, replace(other, n_evaluations=spent)), told


def _may_fall(model, simpler, told):
    """Whether the optimum without the variances that are not told is none with them: by
    the slope along one of these, as far as the largest variance or that of the noise,
    the value falls.  What the search has left of the slopes along the others is none.
    """
    point, told = evaluate(model, simpler.point.Lambdas), np.concatenate(told)
    slopes = np.concatenate([np.diag(S) for S in point.scores])
    slope = slopes[~told].min() - slopes[told].min(initial=0.0)
    variances = np.concatenate([np.sum(L**2, axis=1) for L in point.Lambdas])
    largest = variances.max(initial=1.0)
    return -slope * largest > NO_COST


def one_ratio(model):
    """The likelihood of a model with one variance, as that of a `RandomIntercept`: of
    those levels that tell the variance.
    """
    return replace(model, gram=model.gram.take(model.gram.R11[:, 0, 0] > 0))


def _best_of_one(zero, told):
    """The optimum of a model with one variance, and whether the data tell that."""
    none = Optimum(zero, 1, True)
    if not told[0][0] and not _may_fall(zero.model, none, told):
        return none, told
    found = best_ratio(one_ratio(zero.model))
    point = evaluate(zero.model, (np.array([[np.sqrt(found.ratio)]]),))
    told = [np.array([found.identified])] if told[0][0] else told
    return Optimum(point, found.n_evaluations, True), told
