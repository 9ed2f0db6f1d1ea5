"""The criterion as a function of the variances alone, by QR of whitened rows.

Written for any units and any rank, where the dense oracle would lose its digits; values
are comparable between parameters of one problem, constants being left out.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag
from scipy.optimize import minimize

# Beyond these, relative to a typical row, rows count as fitted exactly: there the
# likelihood may have no maximum.
FARTHEST = 1e-7
LARGEST_LOG = 300.0
# With fewer rows for each parameter of the log-variance there are optima of no use next
# to where there is none, and which of them a search ends in is chance.
ROWS_PER_SLOPE = 5
# Of the brute search: the slope at an optimum; what stands for a criterion that is not
# defined; what stands for a psi of 0.
REGULAR, WALL, LEAST_PSI = 1e-2, 1e10, 1e-8
EXACT = 1e-11  # of the size of y: rounding
DEPENDENT, EXACTLY_DEPENDENT = 1e-6, 1e-15  # of the largest singular value


@dataclass(frozen=True)
class ProfiledCriterion:
    """Of a fitted model.

    Attributes
    ----------
    n : float
        Sum of what counts of the weights.
    weight, counted, y : ndarray of shape (n_rows,)
        `counted` is what counts of the weights where variances are told; y is in units
        of `unit`.
    codes : ndarray of shape (n_rows,) or None
    basis : ndarray of shape (n_rows, rank)
        Orthonormal columns of the mean.
    penalty : ndarray of shape (n_coef, rank) or None
        Rows whose squares, times alpha / vbar, are the ridge.
    variance_columns : ndarray of shape (n_rows, k)
        Standardised, then one-hot groups if they have effects.
    log_v, psi : ndarray of shape (n_rows,), float
        The fit.
    slopes : ndarray of shape (k + n_effects,)
        Fitted log-variance: coefficients of the standardised columns, and effects.
    shrinkage : ndarray of shape (m, k + n_effects)
        The penalty is half the squared length of its product with the slopes.
    reml, random, has_level : bool
        has_level: the log-variance goes up and down with the units of y.
    """

    n: float
    weight: np.ndarray
    counted: np.ndarray
    y: np.ndarray
    codes: object
    basis: np.ndarray
    penalty: object
    variance_columns: np.ndarray
    log_v: np.ndarray
    psi: float
    slopes: np.ndarray
    shrinkage: np.ndarray
    reml: bool
    random: bool
    has_level: bool

    def at_fit(self):
        """The criterion at the fitted variances as they are."""
        return self._value(self.log_v, self.psi, self.slopes)

    def at(self, step, psi):
        """The criterion at other slopes; a common factor takes its best value."""
        log_v = self.log_v + self.variance_columns @ step
        if np.abs(log_v).max() > LARGEST_LOG:
            return -np.inf
        if self.has_level:
            rss, _ = self._parts(log_v, psi)
            freedom = self.n - self.basis.shape[1] * self.reml
            factor = np.log(rss / freedom)
            log_v, psi = log_v + factor, psi * np.exp(factor)
        if is_exact(log_v, self.weight):
            return -np.inf
        return self._value(log_v, psi, self.slopes + step)

    def draw(self, rng):
        """Random variances, near the fit and not so near: a step of slopes, and psi."""
        reach = 10 ** rng.uniform(-3, 0)
        step = reach * rng.normal(size=len(self.slopes))
        psi = self.psi * np.exp(reach * rng.normal())
        if rng.random() < 0.5:
            typical = np.exp(np.average(self.log_v, weights=self.weight))
            psi = typical * np.exp(rng.uniform(-12, 8))
        return step, psi * self.random

    def climb(self, step, psi):
        """The criterion at the regular optimum that these variances lead to; minus
        infinity where they lead to rows that are fitted exactly, and to no maximum.
        """

        def falls(x):
            value = self.at(x[:-1], np.exp(min(x[-1], LARGEST_LOG)) * self.random)
            return WALL if value == -np.inf else -value

        start = np.append(step, np.log(psi or LEAST_PSI))
        found = minimize(falls, start, method="BFGS")
        regular = np.abs(found.jac).max() < REGULAR
        return -found.fun if regular and found.fun < WALL else -np.inf

    def _value(self, log_v, psi, slopes):
        rss, logdet = self._parts(log_v, psi)
        value = -0.5 * (rss + logdet + self.counted @ log_v)
        return value - 0.5 * np.sum((self.shrinkage @ slopes) ** 2)

    def _parts(self, log_v, psi):
        """Residual sum of squares, penalty included, and log-determinants."""
        w = self.weight * np.exp(-log_v)
        rows = np.sqrt(w)[:, None] * np.column_stack([self.basis, self.y])
        logdet = 0.0
        if self.random:
            S = np.bincount(self.codes, w)
            logdet = np.log1p(psi * S).sum()
            share = (1 - 1 / np.sqrt(1 + psi * S)) / S
            for column in rows.T:
                sums = np.bincount(self.codes, np.sqrt(w) * column)
                column -= np.sqrt(w) * (share * sums)[self.codes]
        if self.penalty is not None:
            vbar = np.exp(np.average(log_v, weights=self.weight))
            wide = np.pad(self.penalty, ((0, 0), (0, 1))) / np.sqrt(vbar)
            rows = np.vstack([rows, wide])
        R = np.linalg.qr(rows, mode="r")
        rank = self.basis.shape[1]
        if self.reml:
            logdet += 2 * np.log(np.abs(np.diag(R)[:rank])).sum()
        return (R[rank:, rank] ** 2).sum(), logdet


def is_exact(log_v, weight):
    """Whether some rows' noise is nothing beside that of the others."""
    return log_v.min() < np.average(log_v, weights=weight) + np.log(FARTHEST)


def criterion_of(model, problem):
    """The criterion of a fitted model, or None where it may have no maximum."""
    weight = problem.weight
    kept = slice(None) if weight is None else weight > 0
    y = problem.y[kept]
    unit = np.abs(y).max()
    weight = np.ones(len(y)) if weight is None else weight[kept]
    noise = model.predict_noise_std(problem.X, groups=problem.groups)[kept]
    if unit == 0 or (noise <= EXACT * unit).any():
        return None
    log_v = 2 * np.log(noise / unit)
    options = model.get_params()
    codes = problem.codes
    if codes is not None:
        codes = np.unique(codes[kept], return_inverse=True)[1]
    mean, variance = used_columns(options, problem.dense.shape[1])
    X = problem.dense[kept]
    onehot = np.eye(codes.max() + 1)[codes] if codes is not None else X[:, :0]
    basis, penalty = mean_basis(X[:, mean], onehot, options)
    if basis is None:
        return None
    free = differ(np.column_stack([X[:, mean], y]), onehot)
    columns, slopes, shrinkage = variance_parts(
        X[:, variance], onehot, free, model, variance
    )
    if is_exact(log_v, weight) or weight.sum() <= basis.shape[1]:
        return None
    if shares_effects(X[:, variance], onehot, free, options):
        return None
    if len(y) < ROWS_PER_SLOPE * (1 + len(slopes)):
        return None
    counted = weight * share_of_rows(options, codes, weight, free)
    return ProfiledCriterion(
        n=counted.sum(), weight=weight, counted=counted, y=y / unit, codes=codes,
        basis=basis,
        penalty=penalty, variance_columns=columns, log_v=log_v,
        psi=model.group_variance_ / unit**2, slopes=slopes, shrinkage=shrinkage,
        reml=options["method"] == "reml",
        random=codes is not None and options.get("mean_groups", "random") == "random",
        has_level=options.get("fit_variance_intercept", True),
    )  # fmt: skip


def used_columns(options, p):
    """Columns of the mean and of the log-variance."""
    mean, variance = options.get("mean_features"), options.get("variance_features", [])
    every = list(range(p))
    return every if mean is None else mean, every if variance is None else variance


def mean_basis(X, onehot, options):
    """Columns of the mean, orthonormal without a penalty, and rows of the penalty; None
    where rounding, of the level of a column say, may have made one of them.
    """
    unit = np.abs(X).max(axis=0, initial=0)
    unit[unit == 0] = 1
    X = X / unit
    constant = np.ones((len(X), int(options["fit_intercept"])))
    if options["fit_intercept"]:
        X = X - X.mean(axis=0)
        spread = np.abs(X).max(axis=0, initial=0)
        spread[spread == 0] = 1
        X, unit = X / spread, unit * spread
    if options.get("mean_groups") != "fixed":
        onehot = onehot[:, :0]
    columns = np.hstack([constant, X, onehot])
    if options["alpha"]:
        scale = np.r_[np.zeros(constant.shape[1]), 1 / unit, np.ones(onehot.shape[1])]
        return columns, np.sqrt(options["alpha"]) * np.diag(scale)
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    size /= size.max(initial=0) or 1.0
    if np.any((size > EXACTLY_DEPENDENT) & (size < DEPENDENT)):
        return None, None
    return left[:, size > DEPENDENT], None


def differ(rows, onehot):
    """Which groups have rows that differ."""
    members = [rows[of_group > 0] for of_group in onehot.T]
    return np.array([bool((some != some[0]).any()) for some in members], dtype=bool)


def shares_effects(X, onehot, free, options):
    """Whether columns of the log-variance that are constant within groups, for which
    the fit has the effects of the groups, could tell the groups without one apart.
    """
    if options.get("variance_groups") != "fixed" or options["variance_alpha"]:
        return False
    unit = np.abs(X).max(axis=0, initial=0)
    X = X / np.where(unit > 0, unit, 1)
    within = X - onehot @ (onehot.T @ X / onehot.sum(axis=0)[:, None])
    rank = np.linalg.matrix_rank(within, tol=DEPENDENT) if X.size else 0
    return bool(free.any() and not free.all() and rank < X.shape[1])


def share_of_rows(options, codes, weight, free):
    """How much of each row counts where variances are told from it (docs/math.md, 9.6).

    Rows that are all alike leave nothing beside an effect of their group on the mean,
    and say nothing of a variance: under REML one row's worth is taken up by the effect.
    """
    levels = options.get("mean_groups"), options.get("variance_groups")
    if levels != ("fixed", "fixed") or options["alpha"] or not free.any():
        return 1.0
    share = np.ones(len(free))
    size = np.bincount(codes, weight)
    share[~free] = 1 / size[~free] if options["method"] == "reml" else 0.0
    return share[codes]


def variance_parts(X, onehot, free, model, positions):
    """Columns of the log-variance, the fitted slopes, and how these are penalised.

    A group whose rows are all alike has the mean of the other groups' effects.
    """
    spread = X.std(axis=0)
    spread[spread == 0] = 1
    options = {"variance_alpha": 0.0, "variance_groups": None} | model.get_params()
    # Without an intercept a column moves all variances, and by its own unit.
    shift = X.mean(axis=0) * options.get("fit_variance_intercept", True)
    columns, slopes = (X - shift) / spread, np.empty(0)
    shrinkage = np.diag(1 / spread)
    if len(positions):
        slopes = model.variance_coef_[positions] * spread
    if options["variance_groups"] == "fixed" and free.any():
        effects = np.full((len(free), free.sum()), 1 / free.sum())
        effects[free] = np.eye(free.sum())
        columns = np.hstack([columns, onehot @ effects])
        slopes = np.append(slopes, model.variance_group_effects_[free])
        shrinkage = block_diag(shrinkage, effects)
    return columns, slopes, np.sqrt(options["variance_alpha"]) * shrinkage
