"""The distribution of new rows, by a fitted model (docs/math.md, section 6).

Given the variance components, a new observation y = x'beta + b_g + e is normal with

    mean      level + (x - shift)'coef + modes[g]
    variance  noise(x) + modes_variance[g] + |h|^2,
              h = level_root + (x - shift)'coef_root - loading[g]

where h carries the errors of the coefficients, and those of the group's mode that they
cause.  A new group has mode 0, variance `group_variance`, and no loading.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from .._input.blocks import row_blocks, short_blocks
from .._input.labels import unique
from .._rows.gram import random_intercept_gram
from .._rows.reduction import reduce_rows
from .factor import factorize

PER_GROUP = 2  # arrays like the loading that are in cache for a block of groups


@dataclass(frozen=True)
class Coefficients:
    """The coefficients and the root of their covariance.

    Attributes
    ----------
    shift : ndarray of shape (p,)
    level : float
        Prediction at `shift` without a group.
    coef : ndarray of shape (p,)
    level_root : ndarray of shape (k,)
    coef_root : ndarray of shape (p, k)
        Root L of the covariance of (level, coef): Cov = L L'.
    """

    shift: np.ndarray
    level: float
    coef: np.ndarray
    level_root: np.ndarray
    coef_root: np.ndarray

    def population_mean(self, X):
        """Mean of each row's y without its group, (n,)."""
        mean = self._times(X, self.coef)
        mean += self.level
        return mean

    def population_rows(self, X):
        """The rows h of math.md (19) without their groups, (n, k)."""
        h = self._times(X, self.coef_root)
        h += self.level_root
        return h

    def population_map(self, n_own):
        """The mean and h of a row without its group, and `n_own` zeros beside them, as
        linear forms of (1, x - shift): (1 + p, 1 + k + n_own).
        """
        level = np.concatenate([[self.level], self.level_root, np.zeros(n_own)])
        own = np.zeros((len(self.coef), n_own))
        return np.vstack([level, np.column_stack([self.coef, self.coef_root, own])])

    def joint_log_density(self, X, y, codes, owner, noise_variance):
        """Log-density of y under the joint normal distribution: math.md (84)."""
        squares, logdet = self.joint_terms(X, y, codes, owner, noise_variance)
        return -0.5 * (len(y) * np.log(2 * np.pi) + logdet + squares)

    def _times(self, X, right):
        if sparse.issparse(X):
            return X @ right - self.shift @ right
        return (X - self.shift) @ right


@dataclass(frozen=True)
class Posterior(Coefficients):
    """Per-group and per-column figures; no row of the data.

    Attributes beside those of `Coefficients`
    ------------------------------------------
    modes : ndarray of shape (n_groups,)
        Conditional modes of the random intercepts.
    modes_variance : ndarray of shape (n_groups,)
        Their conditional variance, coefficients known.
    loading : ndarray of shape (n_groups, k)
        Errors of the modes for an error in the coefficients, in units of `level_root`.
    group_variance : float
    """

    modes: np.ndarray
    modes_variance: np.ndarray
    loading: np.ndarray
    group_variance: float

    @property
    def n_numbers(self):
        """About the number of numbers that it holds."""
        return self.loading.size + self.coef_root.size

    def row_map(self):
        """The mean of a row's y, and the independent errors of it, as linear forms:
        math.md (205).
        """
        known = np.sqrt(self.modes_variance)
        levels = np.column_stack([self.modes, -self.loading, known])
        new = np.append(np.zeros(levels.shape[1] - 1), np.sqrt(self.group_variance))
        return self.population_map(1), np.vstack([levels, new])[:, None, :]

    def map_columns(self, X):
        """(1, x - shift) and z of rows."""
        ones = np.ones((len(X), 1))
        return np.hstack([ones, X - self.shift]), ones

    def mean(self, X, codes):
        """Mean of each row's y; `codes` is -1 for a row of a new group."""
        mean = np.empty(X.shape[0])
        for rows in row_blocks(*X.shape):
            mean[rows] = self.population_mean(X[rows])
            mean[rows] += of_groups(self.modes, codes[rows], 0.0)
        return mean

    def variance(self, X, codes):
        """Variance of each row's y without its noise: math.md (20) and (21)."""
        variance = np.empty(X.shape[0])
        for rows in row_blocks(X.shape[0], sum(self.coef_root.shape)):
            h = self.coefficient_rows(X[rows], codes[rows])
            variance[rows] = np.einsum("ij,ij->i", h, h)
            variance[rows] += self.intercept_variance(codes[rows])
        return variance

    def part(self, groups):
        """The same posterior for rows of some groups only."""
        return replace(
            self,
            modes=self.modes[groups],
            modes_variance=self.modes_variance[groups],
            loading=self.loading[groups],
        )

    def modes_std(self):
        """Standard deviation of the prediction error of each mode."""
        of_coefficients = np.einsum("ij,ij->i", self.loading, self.loading)
        return np.sqrt(self.modes_variance + of_coefficients)

    def coefficient_rows(self, X, codes):
        """The rows h of math.md (19), (n_rows, k)."""
        h = self.population_rows(X)
        h -= of_groups(self.loading, codes, 0.0)
        return h

    def intercept_variance(self, codes):
        """Variance of each row's random intercept, coefficients known."""
        return of_groups(self.modes_variance, codes, self.group_variance)

    @staticmethod
    def of_rows(codes, rows):
        """The codes of some rows."""
        return codes[rows]

    @staticmethod
    def of_one_factor(codes):
        """The codes of the only factor."""
        return codes

    def joint_covariance(self, X, codes, owner, noise_variance):
        """Covariance (n, n) of new observations; rows of one `owner` share a group."""
        h = self.coefficient_rows(X, codes)
        covariance = h @ h.T
        shared = owner[:, None] == owner
        covariance += np.where(shared, self.intercept_variance(codes)[:, None], 0.0)
        covariance[np.diag_indices(len(owner))] += noise_variance
        return covariance

    def weighted_sums_of(self, weight, X, codes, owner, noise_variance):
        """Mean and variance of sums of new y, weighted by rows of a sparse array."""
        h = weight @ self.coefficient_rows(X, codes)
        _, first, member = np.unique(owner, return_index=True, return_inverse=True)
        rows = np.arange(len(member) + 1)
        shares = weight @ sparse.csr_array((np.ones(len(member)), member, rows))
        variance = np.sum(h**2, axis=1) + weight.power(2) @ noise_variance
        variance += shares.power(2) @ self.intercept_variance(codes[first])
        return weight @ self.mean(X, codes), variance

    def sample(self, X, codes, owner, noise_variance, n_samples, random_state):
        """Draws (n, n_samples) from the joint normal distribution, in O(n)."""
        h = self.coefficient_rows(X, codes)
        owners, member = unique(owner)
        draws = h @ random_state.standard_normal((h.shape[1], n_samples))
        intercepts = random_state.standard_normal((len(owners), n_samples))[member]
        draws += np.sqrt(self.intercept_variance(codes))[:, None] * intercepts
        noise = random_state.standard_normal((len(owner), n_samples))
        draws += np.sqrt(noise_variance)[:, None] * noise
        return self.mean(X, codes)[:, None] + draws

    def joint_terms(self, X, y, codes, owner, noise_variance):
        """r'S^-1 r and log|S| of residuals r and joint covariance S of y, in O(n)."""
        residual = y - self.mean(X, codes)

        def read(rows):
            h = self.coefficient_rows(X[rows], codes[rows])
            return np.column_stack([h, residual[rows]])

        return _block_terms(read, owner, noise_variance, self.intercept_variance(codes))


def coefficients_of(columns, beta, root):
    """The fields of `Coefficients`, from those of the working columns and the root of
    their covariance.
    """
    coef, level = columns.coefficients(beta)
    return {
        "shift": columns.shift,
        "level": float(level),
        "coef": coef,
        "level_root": root[0] if columns.has_constant else np.zeros(len(root)),
        "coef_root": columns.back @ root,
    }


def of_groups(figures, codes, of_new):
    """Figures of each row's group; `of_new` where the code is -1."""
    known = codes >= 0
    if known.all():
        return figures.take(codes, axis=0)
    rows = np.full((len(codes), *figures.shape[1:]), of_new)
    rows[known] = figures.take(codes[known], axis=0)
    return rows


def condition(columns, factor, scale, n_groups, part=None):
    """The posterior of a factor's coefficients and random intercepts.

    Parameters
    ----------
    columns : Columns
    factor : BlockCholesky
        Of V0, where V = scale V0.
    scale : float
    n_groups : int
        How many of the factor's groups are groups of the user's: none where all rows
        were put into one block for want of groups.
    part : callable, default=None
        ``part(groups)`` is the factor of some groups, a slice; the factor's own part by
        default, which a factor of pooled groups does not have.
    """
    part = factor.part if part is None else part
    root = np.sqrt(scale) * factor.root_inverse
    modes, modes_variance = np.empty(n_groups), np.empty(n_groups)
    loading = np.empty((n_groups, len(root)))
    for groups in short_blocks(n_groups, PER_GROUP * loading.shape[1]):
        some = part(groups)
        turned = some.effects(root)[:, 0]
        modes[groups], loading[groups] = turned[:, 0], turned[:, 1:]
        modes_variance[groups] = scale * some.modes_covariance()[:, 0, 0]
    return Posterior(
        **coefficients_of(columns, factor.beta, root),
        modes=modes,
        modes_variance=modes_variance,
        loading=loading,
        group_variance=float(scale * factor.Lambda[0, 0] ** 2),
    )


def condition_at(columns, size, means, ratios, roots, scale=1.0):
    """Posteriors at several ratios and a noise variance of `scale`, all at once: with
    few groups a call costs more than its arithmetic.

    Parameters
    ----------
    columns : Columns
    size : ndarray of shape (c, G) or (1, G)
        S_g of the groups.
    means : ndarray of shape (c, G, m) or (1, G, m)
        Means of the working columns [1 X y] of the groups.
    ratios : ndarray of shape (c,)
    roots : ndarray of shape (c, m, m)
        math.md (13).
    scale : float, default=1.0
    """
    inverse = np.linalg.inv(roots[:, :-1, :-1])
    beta = (inverse @ roots[:, :-1, -1:])[:, :, 0]
    inverse = np.sqrt(scale) * inverse
    D = 1 + ratios[:, None] * size
    share, X = ratios[:, None] * size / D, means[:, :, :-1]
    modes = share * (means[:, :, -1] - (X @ beta[:, :, None])[:, :, 0])
    loading = share[:, :, None] * (X @ inverse)
    return [
        Posterior(
            **coefficients_of(columns, beta[i], inverse[i]),
            modes=modes[i],
            modes_variance=scale * ratio / D[i],
            loading=loading[i],
            group_variance=float(scale * ratio),
        )
        for i, ratio in enumerate(ratios)
    ]


def widen(posterior, positions, n_features):
    """The same posterior as a function of all features."""
    shift, coef = np.zeros(n_features), np.zeros(n_features)
    coef_root = np.zeros((n_features, posterior.coef_root.shape[1]))
    shift[positions], coef[positions] = posterior.shift, posterior.coef
    coef_root[positions] = posterior.coef_root
    return replace(posterior, shift=shift, coef=coef, coef_root=coef_root)


def make_room(posterior, positions, n_groups):
    """The same posterior with further groups, of which nothing is known.

    `positions` is where the groups it knows are among the `n_groups`.
    """
    modes, loading = np.zeros(n_groups), np.zeros((n_groups, len(posterior.level_root)))
    modes_variance = np.full(n_groups, posterior.group_variance)
    modes[positions], loading[positions] = posterior.modes, posterior.loading
    modes_variance[positions] = posterior.modes_variance
    return replace(
        posterior, modes=modes, modes_variance=modes_variance, loading=loading
    )


def observe(posterior, X, y, codes, noise_variance):
    """The posterior of the random intercepts after further rows: math.md (21a).

    Variance components, coefficients and their covariance stay as they are.  With c_g
    the variance of a mode before, S_g the sum of 1 / v over the new rows, and r, h
    their residuals and rows without the group,

        c_g' = c_g / (1 + c_g S_g),  mode' = (mode + c_g sum r / v) / (1 + c_g S_g),

    and the loading as the mode, with h in the place of r.
    """
    n_groups, k = posterior.loading.shape
    residual = y - posterior.mean(X, np.full(len(y), -1))
    precision = np.bincount(codes, 1 / noise_variance, n_groups)
    pull = np.bincount(codes, residual / noise_variance, n_groups)
    of_rows = np.zeros((n_groups, k))
    for rows in row_blocks(len(y), sum(posterior.coef_root.shape)):
        h = posterior.population_rows(X[rows])
        present, member = unique(codes[rows])
        shape = (len(present), len(member))
        weights = 1 / noise_variance[rows], member, np.arange(len(member) + 1)
        of_rows[present] += sparse.csc_array(weights, shape=shape) @ h
    before = posterior.modes_variance
    shrink = 1 / (1 + before * precision)
    return replace(
        posterior,
        modes=shrink * (posterior.modes + before * pull),
        modes_variance=shrink * before,
        loading=shrink[:, None] * (posterior.loading + before[:, None] * of_rows),
    )


def _block_terms(read, owner, noise_variance, intercept_variance):
    """r'S^-1 r and log|S| of residuals r = h u + b[owner] + e, in O(n).

    The errors u ~ N(0, I), which all rows share, enter as the coefficients of a model
    with the columns h and the penalty |u|^2; so this is its factor.

    Parameters
    ----------
    read : callable
        ``read(rows)`` gives those rows of [h r], as a new array.
    owner : ndarray of shape (n,)
        Rows with equal `owner` share the random intercept b.
    noise_variance, intercept_variance : ndarray of shape (n,)
        Variances of e and b; the latter is the same for rows of one owner.
    """
    owners, member = unique(owner)
    moments = reduce_rows(
        lambda rows: [read(rows)], member, len(owners), 1 / noise_variance
    )
    gram = random_intercept_gram(
        moments.size, moments.mean + moments.shift, moments.within
    )
    variance = np.empty(len(owners))
    variance[member] = intercept_variance
    Lambda = np.sqrt(variance)[:, None, None]
    k = len(moments.shift) - 1
    factor = factorize(gram, Lambda, np.eye(k, k + 1))
    logdet = np.sum(np.log(noise_variance)) + factor.logdet + factor.logdet_x
    return factor.rss, logdet
