"""The search for a log-variance beside any random effects (docs/math.md, section 16).

Newton's method in gamma and in the entries of Lambda together, from several starts
where rows are few.  One random intercept, and a model without random effects, are
fitted by the search of `heteroscedastic`.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .._input.labels import GroupIndex
from .._likelihood.criterion import is_exact
from .._likelihood.heteroscedastic.assembly import (
    Structure,
    check_offset,
    variance_columns_of,
)
from .._likelihood.mixed import FEW_EFFECTS
from .._likelihood.modelled_noise import ModelledNoise, second_of_all
from .._rows.columns import Columns, rank_tolerance
from .._rows.crossed import CrossedGram
from .._rows.mixed import Reduced
from .._rows.modelled_noise import known_part, modelled_noise_rows, rows_in_partitions
from .._rows.parts import Parts
from .._rows.statistics import sample_in_memory, summarize
from .covariances import (
    LEAST_STEPS,
    MANY_EFFECTS,
    SHARE,
    first_points,
    lifted,
    n_random_starts,
    no_variance,
    random_starts,
    search_again,
    settle,
)
from .descent import Optimum, attempt, descend, in_digits, search_from
from .heteroscedastic.problem import Problem, make_problem
from .heteroscedastic.search import best_optimum as best_of_one_factor
from .heteroscedastic.starts import FAR, MOST_STARTS
from .race import race

# Up to so many rows several starts are searched: several optima are a matter of few
# rows.
SOME_ROWS = 2_000
# With fewer rows for each parameter of the log-variance there is no regular optimum to
# look for from several starts.
ROWS_PER_PARAMETER = 3
# Most steps of a search for the covariances, or for the log-variance, of a start.
TO_START = 20
# With more products of effects and columns, or of rows and pairs of columns of the
# log-variance, than this there are fewer starts and steps.
MANY_PRODUCTS, MANY_PAIRS = 30_000, 2_000_000
# Tolerance and iterations of the search for one random intercept.
TOLERANCE, MAX_ITER = 1e-10, 100


@dataclass(frozen=True)
class Noise:
    """The log-variance of a model.

    Attributes
    ----------
    variance : ndarray of int
        Positions among the features of its columns.
    offset : int or None
        Position of a known part of it.
    alpha : float
        Ridge penalty of its coefficients.
    partitions : LazyParts or None
        The rows, `Data` with levels, if workers hold them.
    """

    variance: np.ndarray
    offset: int | None
    alpha: float
    partitions: object = None


def structure_of(noise, terms, mean, *, reml, alpha, fit_intercept):
    """The columns and the ridges of a model, as those of one with one factor.

    `noise` is a `Noise`, and the other parameters are those of `fit_mixed`.
    """
    return Structure(
        reml=reml,
        random=len(terms) > 0,
        fixed=False,
        effects=False,
        mean=mean,
        variance=noise.variance,
        offset=noise.offset,
        fit_intercept=fit_intercept,
        fit_variance_intercept=True,
        alpha=alpha,
        variance_alpha=noise.alpha,
    )


@dataclass(frozen=True)
class ModelledNoiseProblem:
    """The likelihood of a log-variance, and how it is made.

    Attributes
    ----------
    structure : Structure
    noise : ModelledNoise
    columns : Columns
        From its columns among the features to working ones, the constant first.
    reduced : Reduced
        Of the rows under the known parts of their variances.
    average_offset : float
        Weighted mean of the known part of the log-variance.
    one_factor : Problem or None
        The same model as that of one random intercept, or of none; None if it has other
        random effects.
    """

    structure: Structure
    noise: ModelledNoise
    columns: Columns
    reduced: Reduced
    average_offset: float
    one_factor: Problem | None

    @property
    def has_columns(self):
        """Whether the log-variance has columns that vary."""
        return len(self.noise.penalty) > 0


def make_noise_problem(data, terms, reduced, structure, partitions=None, n_jobs=None):
    """The likelihood of a log-variance.

    Parameters
    ----------
    data, terms, n_jobs
        As those of `fit_mixed`.
    reduced : Reduced
        Of the rows with equal variances.
    structure : Structure
        Of the columns, as `structure_of` gives it.
    partitions : LazyParts, default=None
        The rows, if workers hold them; `data` is equivalent to them.

    Returns
    -------
    ModelledNoiseProblem
    """
    one_factor, columns = None, _columns(data, structure)
    if partitions is None:
        one_factor = _one_factor(data, terms, structure)
    if one_factor is not None:
        columns = one_factor.variance_columns
    parts, at = partitions or Parts((data,)), structure.offset
    average = 0.0 if at is None else _average(parts, at)
    how = terms, structure.mean, reduced
    of_variance = columns, structure.variance, at, average
    if partitions is None:
        rows = modelled_noise_rows(data, *how, of_variance, n_jobs)
    else:
        rows = rows_in_partitions(partitions, *how, of_variance)
    back = columns.back[:, 1:]
    if at is not None:
        reduced = replace(reduced, gram=rows.gram(np.zeros(back.shape[1])))
    noise = ModelledNoise(rows, structure.variance_alpha * back.T @ back)
    return ModelledNoiseProblem(structure, noise, columns, reduced, average, one_factor)


def _average(parts, at):
    """Weighted mean of the known part of the log-variance, after a check of it."""
    check_offset(parts.reduce(_largest, at, join=max))
    total, weight = parts.reduce(_total, at)
    return float(total / weight)


def _largest(data, at):
    return np.abs(known_part(data, at)).max()


def _total(data, at):
    weight = data.weights
    return np.array([weight @ known_part(data, at), weight.sum()])


def _columns(data, structure):
    """Working columns of the log-variance."""
    n, p = data.X.shape
    moments = summarize(replace(data, index=None)).moments
    tolerance = rank_tolerance(n, p, data)
    return variance_columns_of(
        moments.columns(np.append(structure.variance, p)), structure, tolerance
    )


def _one_factor(data, terms, structure):
    """The `Problem` of a model of one random intercept, or of none; None if it has
    others.
    """
    index = None
    if terms:
        (term, *others) = terms
        if others or term.n_columns > 1 or not term.has_constant:
            return None
        index = GroupIndex(np.arange(term.n_levels), term.codes)
    return make_problem(sample_in_memory(replace(data, index=index)), structure)


def best_noise(problem, constant, max_iter):
    """The best optimum.

    Parameters
    ----------
    problem : ModelledNoiseProblem
    constant : Optimum
        That of gamma = 0, which is kept where it fits y exactly.
    max_iter : int
        Iterations of the search, from each start.
    """
    noise, model = problem.noise, constant.point.model
    gamma = np.zeros(len(noise.penalty))
    start = in_digits(partial(noise.at, model, gamma, None), constant.point.Lambdas)
    if not len(gamma) or is_exact(start.noise_variance, model.floor):
        return replace(constant, point=start)
    one = _optimum_of_one_factor(problem, start)
    if one is not None and one.converged:
        return one
    found = search_noise(start, max_iter, alone=one is not None)
    spent = found.n_evaluations + constant.n_evaluations
    if one is not None:
        other = search_noise(one.point, max_iter, alone=True)
        spent += one.n_evaluations + other.n_evaluations
        found = min(found, other, key=_merit)
    return replace(found, n_evaluations=spent)


def search_noise(start, max_iter, alone=False, share=1.0, settled=True):
    """The best optimum of gamma and the covariances that is found from a start, and
    from others where rows are few, unless the start is to be `alone`; `settled` is as
    of `best_covariances`.
    """
    if not (start.model.reml and start.model.penalty is not None):
        return _best(start, max_iter, alone, share)
    if settled:
        search = partial(_held, start, max_iter, alone, share)
        return settle(search, start.noise_variance, max_iter)
    best = _best(start.held(start.noise_variance), max_iter, alone, share)
    return replace(best, point=best.point.held(None), converged=False)


def search_pattern(known, model, max_iter):
    """The best optimum with the covariances of another pattern, that of `model`: the
    one that is known, if it has that pattern.  Else the search begins there, and at no
    other point if effects are many.
    """
    if _with_variance(model) == _with_variance(known.point.model):
        return known
    pairs = zip(model.covariances, known.point.Lambdas, strict=True)
    Lambdas = tuple(c.root(c.project(L @ L.T)) for c, L in pairs)
    start = known.point.noise.at(model, known.point.gamma, Lambdas=Lambdas)
    alone = model.n_effects > FEW_EFFECTS
    how = alone, SHARE, known.converged
    found = search_noise(lifted(start), max_iter, *how)
    best = found.point if found.point.value < start.value else start
    spent = known.n_evaluations + found.n_evaluations
    return Optimum(best, spent, found.converged)


def _with_variance(model):
    """The effects that have a variance, by terms."""
    return [set(c.effects) for c in model.covariances]


def at_generic_noise(noise, model):
    """The point of no variance at a generic gamma, and its `Second` in gamma and in
    all covariances: math.md (214).
    """
    none = no_variance(model).Lambdas
    point = noise.at(model, noise.generic(), Lambdas=none)
    bases = [c.symmetric for c in model.covariances]
    return point.mixed, second_of_all(point, bases, at_end=True)


def _optimum_of_one_factor(problem, start):
    """The end of the search for one random intercept, or for no random effect; one at a
    bound of the log-variance has not converged.  None if there are other effects, or it
    is beyond double precision.
    """
    one_factor = problem.one_factor
    if one_factor is None:
        return None
    model, constant = one_factor.model, one_factor.constant
    most = max(TO_START, int(_share_of_pairs(start) * MAX_ITER))
    found = best_of_one_factor(model, constant, False, tol=TOLERANCE, max_iter=most)
    _, gamma, psi = model.split(found.point.theta)
    variance = np.exp(gamma[0] + problem.average_offset)
    Lambdas = tuple(np.sqrt(psi / variance) * np.eye(len(L)) for L in start.Lambdas)
    at = partial(start.noise.at, start.model, gamma[1:], None)
    point = attempt(at, Lambdas)
    regular = found.converged and not found.point.kinked
    return None if point is None else Optimum(point, found.n_iter, regular)


def _held(start, max_iter, alone, share, noise_variance, known):
    """The best optimum at a given sigma^2, from that at another one if it is known."""
    if known is None:
        return _best(start.held(noise_variance), max_iter, alone, share)
    return search_again(known, noise_variance, max_iter)


def _best(start, max_iter, alone, share):
    """The best of the optima that the starts lead to, those first that converged."""
    best = search_from(start, max_iter, 1)
    fewest = ROWS_PER_PARAMETER * (1 + len(start.gamma))
    if alone or not fewest <= start.noise.rows.n_rows <= SOME_ROWS:
        return best
    starts, part = [], _share_of_starts(start)
    most = max(LEAST_STEPS, int(part * max_iter))
    to_start = min(TO_START, most)
    for other_start in _starts(start, int(part * MOST_STARTS), to_start):
        with suppress(np.linalg.LinAlgError):  # variances too far apart to begin with
            starts.append(other_start())
    n_starts = n_random_starts(best.point.mixed, part)
    starts += random_starts(best.point, n_starts)
    found, spent = race(best, starts, most, share * part)
    spent += best.n_evaluations
    return replace(min([best, *found], key=_merit), n_evaluations=spent)


def _share_of_starts(start):
    """The fraction of starts, and of their steps, that is left where a step is dear: it
    costs the product of effects and columns, of crossed factors the cube of their sum,
    and the product of rows and pairs of columns.
    """
    n_effects, k = start.model.n_effects, len(start.gamma)
    n_products = n_effects * (len(start.mixed.factor.root) + k)
    part = MANY_PRODUCTS / max(n_products, MANY_PRODUCTS)
    part = min(part, _share_of_pairs(start))
    if not isinstance(start.model.gram, CrossedGram):
        return part
    return min(part, (MANY_EFFECTS / max(n_effects + k, MANY_EFFECTS)) ** 3)


def _share_of_pairs(start):
    """That of rows and pairs of columns of the log-variance."""
    n_pairs = start.noise.rows.n_rows * len(start.gamma) ** 2
    return MANY_PAIRS / max(n_pairs, MANY_PAIRS)


def _merit(optimum):
    """Searches that converged come first; less is better."""
    return not optimum.converged, optimum.point.value


def _starts(start, most, n_steps):
    """Functions that give further starts.

    The log-variance of a model without random effects; and along at most so many
    columns of the log-variance, up and down, with covariances that are best for it.
    """
    yield partial(_without_effects, start, n_steps)
    k = len(start.gamma)
    for gamma in np.diag(start.units[:k])[:most]:
        for length in (FAR, -FAR):
            yield partial(_with_covariances, start, n_steps, length * gamma)


def _without_effects(start, n_steps):
    """The log-variance that is best without random effects, and next to none of these:
    the covariances that are best for it may leave next to no noise, beside effects of
    levels of few rows, so that no log-variance is told.
    """
    none = replace(start, mixed=no_variance(start.model))
    patterns = tuple(c.without(range(c.q)) for c in start.model.covariances)
    model = replace(none.model, covariances=patterns)
    gamma = descend(replace(none, mixed=no_variance(model)), n_steps).point.gamma
    return lifted(start.noise.at(start.model, gamma, Lambdas=none.Lambdas))


def _with_covariances(start, n_steps, gamma):
    """The point with covariances that are nearly the best for a gamma."""
    at = start.noise.at(start.model, gamma, Lambdas=start.Lambdas)
    if not any(c.blocks for c in start.model.covariances):
        return at
    (first, *_), *_ = first_points(no_variance(at.model))
    return replace(at, mixed=search_from(first, n_steps).point)
