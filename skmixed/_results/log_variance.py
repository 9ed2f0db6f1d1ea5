"""The fitted log-variance in the user's terms (docs/math.md, 9.9)."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from .._input.blocks import row_blocks
from .._likelihood.arrow import Arrow
from .._likelihood.heteroscedastic.assembly import check_offset
from .._likelihood.heteroscedastic.derivatives import complete_information, derivatives
from .._likelihood.posterior import of_groups
from .._rows.sparse_matrix import as_array
from .._search.heteroscedastic.problem import log_bounds
from .heteroscedastic.fixed_groups import share

# This fraction of the complete-data information (that if all errors were observed) is
# added to the diagonal of an information that is not positive definite.
PADDING = 1e-9


@dataclass(frozen=True)
class LogVariance:
    """log v(x) = level + (x - shift)'coef + effect of the group, within bounds.

    Attributes
    ----------
    shift : ndarray of shape (p,)
    level : float
    coef : ndarray of shape (p,)
    effects : ndarray of shape (n_groups,)
        Empty where groups have none; a group that was not seen has 0.
    bounds : tuple of float
    covariance : ndarray of shape (1 + p, 1 + p)
        Of the estimated level at x = 0 and the coefficients, given psi where it is 0.
    joint : ndarray of shape (2 + p, 2 + p)
        Of these and psi, which counts where psi is 0 too; 0 where it is no parameter.
    offset : int or None
        Column of X that is a known part of the log-variance, within bounds or not.
    """

    shift: np.ndarray
    level: float
    coef: np.ndarray
    effects: np.ndarray
    bounds: tuple
    covariance: np.ndarray
    joint: np.ndarray
    offset: int | None = None

    @property
    def intercept(self):
        """The level at x = 0."""
        return self.level - self.shift @ self.coef

    def doubt(self, X, variance, slope):
        """Variance of the estimate of v + psi times `slope`, for each row; `variance`
        is v.  Effects of groups count as known.
        """
        spread = np.empty(len(variance))
        for rows in row_blocks(*X.shape):
            gradient = variance[rows, None] * with_constant(X[rows])
            gradient = np.column_stack([gradient, slope[rows]])
            spread[rows] = np.sum((gradient @ self.joint) * gradient, axis=1)
        return spread

    def variance(self, X, codes):
        """v of each row; `codes` is -1 for a row of a new group.

        Raises
        ------
        ValueError
            If the known part of a row is no log-variance.
        """
        variance = np.empty(X.shape[0])
        for rows in row_blocks(*X.shape):
            if sparse.issparse(X):
                value = self.intercept + X[rows] @ self.coef
            else:
                value = self.level + (X[rows] - self.shift) @ self.coef
            if len(self.effects):
                value += of_groups(self.effects, codes[rows], 0.0)
            np.clip(value, *self.bounds, out=value)
            if self.offset is not None:
                known = as_array(X[rows])[:, self.offset]
                check_offset(np.abs(known).max(initial=0.0))
                value += known
            np.exp(value, out=variance[rows])
        return variance


def with_constant(X):
    """[1 X], dense."""
    return np.column_stack([np.ones(X.shape[0]), as_array(X)])


def log_variance(problem, point, information):
    """The log-variance of a fitted point; `information` is that of `information_at`."""
    model, columns = problem.model, problem.variance_columns
    delta, gamma, _ = model.split(point.theta)
    coef, level = columns.back @ gamma, 0.0
    if columns.has_constant:
        level = float(gamma[0])
    shift, effects = columns.shift, np.empty(0)
    if delta is not None and columns.has_constant:
        effects = delta
    elif delta is not None:
        sharing = _sharing(problem)
        shift = sharing.shift
        level, along, effects = sharing.effects(delta + sharing.moved @ gamma)
        coef = coef + sharing.null @ along
    # A new group may be far from where all others are.
    around_one = not problem.structure.fit_variance_intercept
    bounds = log_bounds(problem.constant, around_one)
    covariance, joint = _covariances(problem, point, information)
    return LogVariance(shift, float(level), coef, effects, bounds, covariance, joint)


def _sharing(problem):
    has_intercept = problem.structure.fit_variance_intercept
    return share(problem.variance_columns, problem.variance_moments, has_intercept)


def information_at(problem, point, observed):
    """The information of the uncertain parameters, positive definite: [delta, gamma,
    psi], without psi where it is 0 and so the end of its range.

    It is the observed one, which is given, or the expected one where the first is not
    positive definite.
    """
    model = problem.model
    inner = _without_boundary(model, point, observed)
    if inner.is_positive_definite():
        return inner
    return _without_boundary(model, point, _expected_information(model, point))


def _without_boundary(model, point, information):
    if model.random and point.theta[-1] == 0:
        return information.without_last()
    return information


def _expected_information(model, point):
    """The expected information, padded: positive definite whatever the data are."""
    _, expected = derivatives(model, point, expected=True)
    complete = complete_information(model, point)
    padded = expected.with_diagonal(PADDING * complete)
    if padded.is_positive_definite():
        return padded
    # Nothing but rounding is left of it.
    n_groups, border = len(expected.diagonal), np.zeros_like(expected.border)
    none = np.empty((len(complete), 0)), np.empty((0, 0))
    return Arrow(complete[:n_groups], border, np.diag(complete[n_groups:]), *none)


def _covariances(problem, point, information):
    """Covariance of (intercept, coefficients), and that of them and psi.

    Where psi is 0 the second is of the expected information: the criterion has a slope
    there, and its curvature may be anything.
    """
    model, jacobian = problem.model, _jacobian(problem)
    covariance = _of_user(problem, jacobian, information)
    joint = np.pad(covariance, ((0, 1), (0, 1)))
    if model.random:
        both = np.pad(jacobian, ((0, 1), (0, 1)))
        both[-1, -1] = 1.0
        if point.theta[-1] == 0:
            information = _expected_information(model, point)
        joint = _of_user(problem, both, information)
        if point.theta[-1] > 0:
            covariance = joint[:-1, :-1]
    return covariance, joint


def _of_user(problem, jacobian, information):
    """Covariance of linear combinations of the parameters, the rows of the jacobian."""
    model = problem.model
    jacobian = np.pad(jacobian, ((0, 0), (0, information.size - jacobian.shape[1])))
    covariance = jacobian @ information.solve(jacobian.T)
    if len(model.free) and problem.variance_columns.has_constant:
        # As in `penalised_posterior`: the prior variance of the effects' mean.
        covariance[0, 0] -= 1 / (model.effect_penalty * model.rows.n_groups)
    return (covariance + covariance.T) / 2


def _jacobian(problem):
    """d (intercept, coefficients) / d [delta, gamma]."""
    model, columns = problem.model, problem.variance_columns
    n_free, back = len(model.free), columns.back
    jacobian = np.zeros((1 + len(back), n_free + back.shape[1]))
    jacobian[1:, n_free:] = back
    if n_free and not columns.has_constant:
        sharing = _sharing(problem)
        weights = np.hstack(
            [_tied(sharing.weights, model.free), sharing.weights @ sharing.moved]
        )
        jacobian[1:] += sharing.null @ weights[1:]
        jacobian[0] = weights[0] - sharing.average @ weights[1:]
        jacobian[0] -= sharing.shift @ jacobian[1:]
    elif columns.has_constant:
        jacobian[0, n_free] = 1.0
        jacobian[0] -= columns.shift @ jacobian[1:]
    return jacobian


def _tied(weights, free):
    """Weights of all groups as those of the free ones; the others are their mean."""
    tied = np.delete(weights, free, axis=1).sum(axis=1)
    return weights[:, free] + tied[:, None] / len(free)


def widen(log_variance, positions, n_features, offset=None):
    """The same log-variance as a function of all features, with a known part."""
    shift, coef = np.zeros(n_features), np.zeros(n_features)
    shift[positions], coef[positions] = log_variance.shift, log_variance.coef
    covariance = np.zeros((1 + n_features, 1 + n_features))
    wide = np.append(0, 1 + positions)
    covariance[np.ix_(wide, wide)] = log_variance.covariance
    joint = np.zeros((2 + n_features, 2 + n_features))
    with_psi = np.append(wide, -1)
    joint[np.ix_(with_psi, with_psi)] = log_variance.joint
    return replace(
        log_variance,
        shift=shift,
        coef=coef,
        covariance=covariance,
        joint=joint,
        offset=offset,
    )
