"""The search for the best parameters of the heteroscedastic criterion
(docs/math.md, 9.6 to 9.8): Newton's method from several starts, and psi by value.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..._likelihood.arrow import Arrow
from ..._likelihood.heteroscedastic.criterion import Heteroscedastic, evaluate
from ..._likelihood.heteroscedastic.derivatives import derivatives, metric
from ..._likelihood.heteroscedastic.residuals import gain_by_exact_rows
from ..._rows.gram import scale
from ..trust_region import MOST_TRIALS, Minimum, Quadratic, minimise
from .starts import by_ratio, constant_start, from_squared_residuals, more_starts

# Up to so many rows the search is thorough: it has several starts, and looks for the
# best psi = 0 in any case.  Several optima are a matter of few rows.
MANY_ROWS = 50_000
# With fewer rows for each parameter of the log-variance there is no regular optimum to
# look for from several starts.
FEW_ROWS = 2
# Further starts together take at most so many times the steps of one search, and so do
# the searches for kappa.  Without a regular optimum, as where many parameters meet few
# rows, all of them would take most.
MOST_SEARCHES = 2
# Beyond MANY_ROWS psi = 0 is out of the question where the log-likelihood falls by this
# much for every parameter, with the others where they are.
FAR_FROM_ZERO = 100.0
# The longest step in the logarithm of kappa.
LONGEST = 2.0


@dataclass(frozen=True)
class HeteroscedasticOptimum(Minimum):
    """The best optimum of all searches; its theta has psi = 0 where that is best.

    Attributes
    ----------
    information : Arrow
        The observed information there.
    without : float or None
        The least value of the criterion at psi = 0; None if it is not known.
    many_rows : bool
        Whether there were too many rows for a thorough search.
    """

    information: Arrow
    without: float | None
    many_rows: bool


@dataclass(frozen=True)
class Search:
    """The criterion, and the precision to which its optima are found.

    Attributes
    ----------
    likelihood : Heteroscedastic
    kappa : float or None
        Under REML a ridge has this size; else it follows the variances.
    tol, max_iter : float, int
        As of `minimise`.
    """

    likelihood: Heteroscedastic
    kappa: float | None
    tol: float
    max_iter: int

    def evaluate(self, theta, gram=None):
        """The criterion at theta: math.md (31f)."""
        point = evaluate(self.likelihood, theta, self.kappa, gram)
        if self.kappa is None:
            return point
        gap = self.kappa_gap(point)
        return replace(point, value=point.value + self.likelihood.rows.n * gap**2)

    def kappa_gap(self, point):
        """Logarithm of the kappa that the variances imply over that of the ridge."""
        return np.log(self.likelihood.kappa(point.x) / point.kappa)

    def expand(self, point, near=True):
        """The quadratic model of the criterion about a point.

        Far from the optimum its information is that for known coefficients of the mean;
        with a ridge, or an effect of every group, too much would be left out.
        """
        likelihood = self.likelihood
        known = not (near or likelihood.penalty is not None or len(likelihood.free))
        gradient, information = derivatives(likelihood, point, known_coefficients=known)
        if self.kappa is not None:
            average = np.append(likelihood.average, np.zeros(int(likelihood.random)))
            strength = 2.0 * likelihood.rows.n
            gradient = gradient - strength * self.kappa_gap(point) * average
            information = information.coupled(average, strength)
        return Quadratic(gradient, information, metric(likelihood, point))

    def descend(self, theta, known=()):
        """A local optimum from a start, unless the way leads to one of those that are
        known.
        """
        return minimise(
            self.evaluate,
            self.expand,
            theta,
            tol=self.tol,
            max_iter=self.max_iter,
            lower=0.0 if self.likelihood.random else None,
            leave=partial(_leads_to, known),
        )

    def extend(self, found, starts):
        """Add the ends of searches from further starts, while there are steps left."""
        left = MOST_SEARCHES * self.max_iter
        for start in starts:
            limited = replace(self, max_iter=min(self.max_iter, left))
            with suppress(np.linalg.LinAlgError):  # variances too far apart to begin
                found.append(limited.descend(start, tuple(found)))
                left -= found[-1].n_iter
            if left <= 0:
                break

    def merit(self, minimum):
        """The figures by which optima are compared, less being better.

        Searches that converged come first; then the value counts, as if rows at the
        lower bound had a typical variance.  The gain of fitting a row exactly is no
        merit.
        """
        point, (low, high) = minimum.point, self.likelihood.log_bounds
        exact = gain_by_exact_rows(self.likelihood, point) if point.kinked else 0.0
        return not minimum.converged, point.value + 0.5 * (high - low) * exact


def _leads_to(known, at, step):
    """Whether Newton's step from a point leads to an optimum that is known: it ends
    nearer to it by a quarter, and within a unit of the metric.
    """
    ways = ((end.model, at.x - end.point.x) for end in known if end.converged)
    return any(
        model.length(way + step) <= min(1.0, 0.75 * model.length(way))
        for model, way in ways
    )


def best_optimum(likelihood, constant, exact, *, tol, max_iter):
    """The best optimum: from several starts, psi = 0 among them.

    Parameters
    ----------
    likelihood : Heteroscedastic
    constant : Constant
        Of constant variances.  This is the optimum if there is no other variance.
    exact : bool
        Whether it fits y exactly, so that nothing is left to tell a variance from.
    tol, max_iter : float, int
        As of `Search`.

    Returns
    -------
    HeteroscedasticOptimum
    """
    columns, n_rows = likelihood.rows.variance_columns, likelihood.rows.n_rows
    one_variance = columns.has_constant and columns.rank == 1
    n_parameters, without = len(likelihood.average) + likelihood.random, None
    many_rows = n_rows > MANY_ROWS
    thorough = not many_rows and n_rows >= FEW_ROWS * n_parameters
    if exact or (one_variance and not likelihood.fixed and not len(likelihood.free)):
        theta = constant_start(likelihood, constant, least_ratio=0.0)
        best = Minimum(_evaluate_towards(likelihood, theta), 0, 0.0, True, None)
    else:
        is_anchored = likelihood.reml and likelihood.penalty is not None
        start = constant_start(likelihood, constant)
        kappa = likelihood.kappa(start) if is_anchored else None
        search = Search(likelihood, kappa, tol, max_iter)
        found = _from_starts(search, start, constant, thorough)
        if likelihood.random:
            without = _decide_psi(search, found, thorough)
        best = min(found, key=search.merit)
        if kappa is not None:
            best = replace(_settle(search, best), model=None)  # which has the anchor
    # With many rows the information before the last step is as good; it spares a visit.
    same = many_rows and best.model is not None
    information = best.model.hessian if same else derivatives(likelihood, best.point)[1]
    return HeteroscedasticOptimum(
        **vars(best), information=information, without=without, many_rows=many_rows
    )


def _evaluate_towards(likelihood, theta):
    """The criterion at theta, or on the way to it if its variances are so far apart
    that there is no factor, as a sparse X may have it where y is fitted exactly.
    """
    for part in (1.0, 0.5, 0.25):
        with suppress(np.linalg.LinAlgError):
            return evaluate(likelihood, part * theta)
    return evaluate(likelihood, 0.0 * theta)


def _from_starts(search, theta, constant, thorough):
    """The optima that the starts lead to, theta being that of the constant variance."""
    likelihood, gram = search.likelihood, None
    if likelihood.rows.variance_columns.has_constant:
        gram = scale(constant.gram, 1 / constant.noise_variance)
    point = search.evaluate(theta, gram)
    # The noise of a group is told by squared residuals if its mean counts as known.
    is_known = not (likelihood.random or (likelihood.fixed and likelihood.reml))
    if not thorough and (is_known or not len(likelihood.free)):
        theta = from_squared_residuals(likelihood, point)
    found = [search.descend(theta)]
    if thorough:
        gradient = search.expand(point, near=False).gradient
        search.extend(found, more_starts(likelihood, point, gradient))
    return found


def _decide_psi(search, found, thorough):
    """Add the optimum at psi = 0, and that with another psi that the search for the
    variance ratio at the best variances leads to.

    Returns the least value at psi = 0; None if that is out of the question.
    """
    best, likelihood = min(found, key=search.merit), search.likelihood
    theta = best.point.x
    if not thorough:
        at_zero = search.evaluate(np.append(theta[:-1], 0.0), best.point.factor.gram)
        if at_zero.value - best.point.value > FAR_FROM_ZERO * len(theta):
            return None
    without = replace(search, likelihood=replace(likelihood, random=False))
    at_zero = without.descend(theta[:-1]).point
    search.extend(found, [np.append(at_zero.x, 0.0)])
    search.extend(found, by_ratio(likelihood, min(found, key=search.merit).point))
    return at_zero.value


def _settle(search, best):
    """Let kappa be that of its own optimum (REML with a ridge): math.md (31g).

    The ridge is then not the gradient of one function: at each kappa the criterion has
    an optimum, and the kappa is found that this optimum implies, by secants between a
    kappa that is too small and one that is too large.  Each search goes on from the
    optimum before, so that all are on one way.  The anchor of (31f) is to cost nothing.
    """
    n_iter, low, high = best.n_iter, -np.inf, np.inf
    log_kappa, gap = np.log(search.kappa), search.kappa_gap(best.point)
    past = log_kappa - 1, gap + 1  # The first step is as long as the gap.
    most = best.n_iter + MOST_SEARCHES * search.max_iter
    for _ in range(MOST_TRIALS):
        is_regular = best.converged and not best.point.kinked
        if abs(gap) <= search.tol or not is_regular or n_iter > most:
            break
        low, high = (log_kappa, high) if gap > 0 else (low, log_kappa)
        step = gap * (log_kappa - past[0]) / (past[1] - gap or np.inf)
        past = log_kappa, gap
        log_kappa += np.copysign(min(abs(step) or LONGEST, LONGEST), gap)
        if not low < log_kappa < high:
            log_kappa = (low + high) / 2
        best = replace(search, kappa=np.exp(log_kappa)).descend(best.point.x)
        n_iter, gap = n_iter + best.n_iter, search.kappa_gap(best.point)
    agrees = search.likelihood.rows.n * gap**2 <= search.tol
    return replace(best, n_iter=n_iter, converged=best.converged and agrees)
