"""The criterion of a random problem of a linear mixed model, with n x n matrices.

Nothing is shared with the package.  Rows are in units of their own, and sigma^2 is
profiled out, so that only covariances are left: in units of sigma^2, and of the largest
figures of their columns.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, qr, solve_triangular
from scipy.optimize import minimize

# A column is dependent on others if less than this of its length is left.
DEPENDENT = 1e-9
# A column of the mean is one in double precision if more than this is left, and in
# single precision if more than the second figure is.
LEAST_LEFT, LEFT_OF_SINGLE = 1e-13, 5e-7
# Iterations of a climb.
MAX_ITER = 40
# Log-variances further from their average than this are on the way to rows that are
# fitted exactly, where there is no maximum.
FARTHEST = 8.0
# Several factors may cross, where standard deviations of effects beyond so many times
# the noise have no digits: it is taken to be at least 1e-7 of y (math.md, 11.3).
LARGEST_EFFECT = 1e7
# Of a column that its penalty keeps at 0, in units of its rows.
LARGEST_PENALTY = 1e6
# With fewer rows for each parameter of the log-variance there are regular optima beside
# the ways to where it has no maximum.
ROWS_PER_SLOPE = 5


@dataclass(frozen=True)
class Criterion:
    """Rows in units of their own, n x n, with sigma^2 profiled out.

    Attributes
    ----------
    Q : ndarray of shape (n, p)
        Columns of the mean: without a penalty a basis, orthonormal in the weights.
    y, weight : ndarray of shape (n,)
    Z : list of ndarray of shape (n, q)
        Columns of the effects, factor by factor, in units of their largest figures.
    same : list of ndarray of shape (n, n)
        Which rows have a level in common.
    diagonal : list of bool
        Whether the effects of a factor do not covary.
    reml : bool
    S : ndarray of shape (n, k)
        Columns of the log-variance, centred, in units of their standard deviations.
    known : ndarray of shape (n,)
        Known part of the log-variance.
    penalty : ndarray of shape (p,)
        Square roots of what the ridge adds to the squares of the coefficients.
    shrinkage : ndarray of shape (k,)
        The ridge on the log-variance, by which the squares of gamma are multiplied.
    condition : float
        How many times rounding of the columns of the mean is larger in their basis.
    """

    Q: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    Z: list
    same: list
    diagonal: list
    reml: bool
    S: np.ndarray
    known: np.ndarray
    penalty: np.ndarray
    shrinkage: np.ndarray
    condition: float

    def log_variance(self, gamma):
        """log(v / sigma^2) of each row."""
        return self.known + self.S @ gamma

    def covariance(self, roots, gamma):
        """V / sigma^2 at covariances L L' / sigma^2, one L for each factor."""
        V = np.diag(np.exp(self.log_variance(gamma)) / self.weight)
        for Z, same, L in zip(self.Z, self.same, roots, strict=True):
            ZL = Z @ L
            V += (ZL @ ZL.T) * same
        return V

    def at(self, x):
        """The log-likelihood at gamma and the roots, but for a constant."""
        return self._solved(*self.unpack(x))[0]

    def exactly(self, roots, gamma):
        """The log-likelihood at any roots, and how many times y is larger than what is
        left of it, both whitened.

        It is by the triangular root of the mixed-model equations, for which no square
        is formed: effects may be far larger than the noise.
        """
        some = np.sqrt(self.weight / np.exp(self.log_variance(gamma)))[:, None]
        effects = self.columns_of_effects(roots)
        p, d = self.Q.shape[1], effects.shape[1]
        rows = some * np.column_stack([effects, self.Q, self.y])
        prior = np.eye(d, rows.shape[1])
        ridge = np.zeros((p, rows.shape[1]))
        ridge[:, d : d + p] = np.diag(self.penalty)
        R = np.linalg.qr(np.vstack([rows, prior, ridge]), mode="r")
        size = np.log(np.abs(np.diag(R)))
        value = 2 * self.freedom * size[-1] + 2 * np.sum(size[:d])
        value += self.weight @ self.log_variance(gamma)
        value -= np.sum(np.log(self.weight))
        value += np.sum(self.shrinkage * gamma**2)
        if self.reml:
            value += 2 * np.sum(size[d : d + p])
        return -0.5 * value, np.linalg.norm(R[d:, -1]) / abs(R[-1, -1])

    def columns_of_effects(self, roots):
        """Columns (n, d) of all effects, those of each factor times its root."""
        parts = []
        for Z, same, L in zip(self.Z, self.same, roots, strict=True):
            _, first, codes = np.unique(
                same.argmax(axis=1), return_index=True, return_inverse=True
            )
            of_levels = codes[:, None] == np.arange(len(first))
            parts += [of_levels * column[:, None] for column in (Z @ L).T]
        return np.hstack(parts)

    def _solved(self, roots, gamma):
        """The log-likelihood, the root of V, V^-1/2 [Q y] with the rows of the penalty
        below, and the root of its square.
        """
        root = np.linalg.cholesky(self.covariance(roots, gamma))
        right = np.column_stack([self.Q, self.y])
        white = solve_triangular(root, right, lower=True, check_finite=False)
        if self.penalty.any():
            white = np.vstack([white, np.diag(np.append(self.penalty, 0.0))[:-1]])
        R, p = np.linalg.qr(white, mode="r"), self.Q.shape[1]
        value = self.freedom * np.log(R[p, p] ** 2) + 2 * np.sum(np.log(np.diag(root)))
        value += (self.weight - 1) @ self.log_variance(gamma)
        value += np.sum(self.shrinkage * gamma**2)
        if self.reml:
            value += 2 * np.sum(np.log(np.abs(np.diag(R)[:p])))
        return -0.5 * value, root, white, R

    @property
    def freedom(self):
        """Degrees of freedom of sigma^2."""
        return self.weight.sum() - self.reml * self.Q.shape[1]

    def with_gradient(self, x):
        """`at`, and its gradient."""
        roots, gamma = self.unpack(x)
        value, root, white, R = self._solved(roots, gamma)
        n, p = self.Q.shape
        axes = solve_triangular(R[:p, :p], white[:, :p].T, trans="T").T
        residual = white[:, p] - axes @ (axes.T @ white[:, p])
        inverse = np.tril(lapack.dtrtri(root, lower=1)[0])
        left = inverse
        if self.reml:
            left = inverse - axes @ (axes.T @ inverse)
        pull = residual[:n] @ inverse
        of_V = inverse.T @ left - np.outer(pull, pull) * self.freedom / R[p, p] ** 2
        variance = np.exp(self.log_variance(gamma)) / self.weight
        of_rows = np.diag(of_V) * variance + self.weight - 1
        gradient = [self.S.T @ of_rows / 2 + self.shrinkage * gamma]
        terms = zip(self.Z, self.same, roots, self.entries, strict=True)
        for Z, same, L, where in terms:
            gradient.append((Z.T @ ((of_V * same) @ Z) @ L)[where])
        return value, -np.concatenate(gradient)

    @property
    def tells_columns_apart(self):
        """Whether a penalty of dependent columns is above the rounding of these, whose
        direction is anything, so that y may have a part in it.
        """
        if not self.penalty.any():
            return True
        return (
            np.linalg.cond(np.vstack([self.Q, np.diag(self.penalty)])) < 1 / DEPENDENT
        )

    @property
    def entries(self):
        """Free entries of the root of each factor."""
        sizes = [Z.shape[1] for Z in self.Z]
        pairs = zip(sizes, self.diagonal, strict=True)
        return [np.diag_indices(q) if d else np.tril_indices(q) for q, d in pairs]

    def unpack(self, x):
        """Roots and gamma of a vector: gamma first, then the entries of the roots."""
        first, roots = self.S.shape[1], []
        for Z, where in zip(self.Z, self.entries, strict=True):
            L, last = np.zeros((Z.shape[1],) * 2), first + len(where[0])
            L[where], first = x[first:last], last
            roots.append(L)
        return roots, x[: self.S.shape[1]]

    @property
    def identity(self):
        """The vector of unit roots and equal noise, where lme4 starts."""
        parts = [np.equal(*where).astype(float) for where in self.entries]
        return np.concatenate([np.zeros(self.S.shape[1]), *parts])

    def draw(self, rng):
        """A random vector: covariances of all sizes, noise within some powers of e."""
        x = rng.normal(size=len(self.identity)) * 10.0 ** rng.uniform(-2, 1)
        k = self.S.shape[1]
        x[:k] = rng.normal(size=k) * 10.0 ** rng.uniform(-2, 0)
        return x

    def climb(self, x):
        """The roots and gamma of the optimum that a point leads to; None where that is
        far from equal noise, its known part included, or where effects of several
        factors are so far above the noise that the package has no digits for them.
        """

        def deviance(t):
            try:
                value, gradient = self.with_gradient(t)
            except np.linalg.LinAlgError:
                return np.inf, np.zeros_like(t)
            return -value, -gradient

        options = {"maxiter": MAX_ITER}
        found = minimize(deviance, x, jac=True, method="L-BFGS-B", options=options)
        roots, gamma = self.unpack(found.x)
        spread = self.log_variance(gamma)
        spread = np.abs(spread - spread.mean()).max()
        if len(roots) > 1 and max(np.abs(L).max() for L in roots) > LARGEST_EFFECT:
            return None
        return (roots, gamma) if spread < FARTHEST else None

    def highest(self, points):
        """The log-likelihood of the best optimum that some points lead to; None where
        all are far from equal noise.
        """
        ends = [end for end in map(self.climb, points) if end is not None]
        return max((self.exactly(*end)[0] for end in ends), default=None)


def is_unbounded(criterion, thorough=False):
    """Whether effects and columns of the mean fit y at covariances that leave V without
    noise singular, so that the likelihood has no bound as the noise goes to nothing.

    Such covariances are looked for among those with regular roots, without one of the
    effects, or any of them if that is to be `thorough`, and without the direction of a
    row that is alone in its level.  Under REML V is that of the rows beside the mean.
    """
    mean = criterion.Q if not criterion.penalty.any() else criterion.Q[:, :0]
    terms = zip(criterion.Z, criterion.same, criterion.diagonal, strict=True)
    of_terms = [_roots_of_any_rank(*term, thorough) for term in terms]
    for roots in itertools.product(*of_terms):
        columns = criterion.columns_of_effects(roots)
        columns[np.abs(columns) < DEPENDENT] = 0.0
        effects = basis(columns, criterion.weight)
        span = basis(np.column_stack([mean, effects]), criterion.weight)
        rank = (span if criterion.reml else effects).shape[1]
        n = max(len(criterion.y), criterion.weight.sum())  # rows that are repeated
        if rank < n and _spans_y(span, criterion):
            return True
    return False


def _roots_of_any_rank(Z, same, diagonal, thorough):
    """A regular root, some of lower rank, and none."""
    regular, alone = np.eye(Z.shape[1]), Z[np.argmin(same.sum(axis=1))]
    left = [np.outer(e, e) for e in regular]
    if thorough:
        left = [
            np.diag(some) for some in itertools.product((0.0, 1.0), repeat=len(Z.T))
        ]
    if not diagonal and alone.any():
        left.append(np.outer(alone, alone) / (alone @ alone))
    return [regular, *(regular - part for part in left), 0 * regular]


def _spans_y(span, criterion):
    """Whether nothing is left of y beside orthonormal columns."""
    weighed = criterion.weight * criterion.y
    left = criterion.y - span @ (span.T @ weighed)
    size = np.sqrt(criterion.weight @ left**2)
    return size <= DEPENDENT * np.sqrt(weighed @ criterion.y)


def has_few_rows(criterion):
    """Whether a modelled noise may have no maximum."""
    n, k = criterion.S.shape
    return k > 0 and n < ROWS_PER_SLOPE * (1 + k)


def criterion_of(model, problem):
    """The criterion of a fit, with the roots and gamma at the fit."""
    counts = problem.weight if problem.weight is not None else np.ones(len(problem.y))
    some = counts > 0
    scale = np.abs(problem.dense[some]).max(axis=0, initial=0)
    scale = np.where(scale > 0, scale, 1.0)
    X, weight = problem.dense[some] / scale, counts[some]
    unit = np.abs(problem.y[some]).max() or 1.0
    is_single = problem.story["container"] == "float32"
    least = LEFT_OF_SINGLE if is_single else LEAST_LEFT
    Q, penalty, condition = _mean(model, X, weight, scale, least)
    (S, known, shrinkage), gamma, level = _log_variance(model, problem, some, weight)
    Z, scales, diagonal = [], [], []
    for columns, intercept, bar in problem.story["terms"]:
        Z.append(
            np.column_stack([*[np.ones(len(X))] * int(intercept), X[:, list(columns)]])
        )
        scales.append(np.append(np.ones(int(intercept)), scale[list(columns)]))
        diagonal.append(bar == "||" or not len(columns))
    noise = np.exp(level / 2)
    Psi = model.random_effects_covariance_.values()
    roots = [root_of(P, s, noise) for P, s in zip(Psi, scales, strict=True)]
    criterion = Criterion(
        Q=Q,
        y=problem.y[some] / unit,
        weight=weight,
        Z=Z,
        same=[np.equal.outer(c[some], c[some]) for c in problem.codes],
        diagonal=diagonal,
        reml=model.method == "reml",
        S=S,
        known=known,
        penalty=penalty,
        shrinkage=shrinkage,
        condition=condition,
    )
    return criterion, roots, gamma


def _mean(model, X, weight, scale, least):
    """The columns of the mean, the roots of their penalty, and the condition."""
    some = _chosen(model, model.mean_features, X.shape[1])
    X, scale = X[:, some], scale[some]
    columns = np.column_stack([np.ones(len(X)), X]) if model.fit_intercept else X
    if not model.alpha:
        Q, left = _basis(columns, weight, least)
        return Q, np.zeros(Q.shape[1]), 1 / left.min(initial=1.0)
    penalty = np.minimum(np.sqrt(model.alpha) / scale, LARGEST_PENALTY)
    return columns, np.append(np.zeros(int(model.fit_intercept)), penalty), 1.0


def _chosen(model, columns, p):
    """Positions of columns; the known part of the log-variance is none of "all"."""
    if not isinstance(columns, str):
        return list(columns)
    return [j for j in range(p) if j != model.variance_offset]


def _log_variance(model, problem, some, weight):
    """The columns of the log-variance, its known part and its ridge; their coefficients
    and its average at the fit.
    """
    features = problem.dense[some]
    chosen = _chosen(model, model.variance_features, features.shape[1])
    X, known, average = features[:, chosen], np.zeros(len(features)), 0.0
    if model.variance_offset is not None:  # the ridge is in geometric means of noise
        known = features[:, model.variance_offset]
        average = np.average(known, weights=weight)
    centred = X - np.average(X, axis=0, weights=weight)
    unit = np.sqrt(np.average(centred**2, axis=0, weights=weight))
    unit = np.where(unit > 0, unit, 1.0)
    if hasattr(model, "noise_variance_"):
        gamma, level = np.zeros(len(chosen)), np.log(model.noise_variance_)
    else:
        coef = model.variance_coef_[chosen]
        level = model.variance_intercept_ + ((X - centred)[:1] @ coef).item() + average
        gamma = coef * unit
    S, shrinkage = centred / unit, model.variance_alpha / unit**2
    return (S, known - average, shrinkage), gamma, level


def root_of(Psi, scale, noise):
    """L with L L' = Psi in units of the noise and of scaled columns."""
    relative = (Psi * scale / noise) * scale[:, None] / noise
    values, vectors = np.linalg.eigh(relative)
    return vectors * np.sqrt(np.maximum(values, 0))


def basis(X, weight):
    """An orthonormal basis of the columns of X, as far as weighted rows can tell."""
    return _basis(X, weight, DEPENDENT)[0]


def _basis(X, weight, least):
    """`basis`, and the fraction of its length that each column leaves to it."""
    root = np.sqrt(weight)[:, None]
    length = np.linalg.norm(root * X, axis=0)
    unit = X / np.where(length > 0, length, 1)
    if not X.shape[1]:
        return X, length
    Q, R, _ = qr(root * unit, mode="economic", pivoting=True)
    left = np.abs(np.diag(R))
    left = left[left > least]
    return Q[:, : len(left)] / root, left
