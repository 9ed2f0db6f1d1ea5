"""The fitted log-variance in the user's terms (docs/math.md, 9.9)."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from .._blocks import row_blocks
from .._likelihood.derivatives import complete_information, derivatives
from .._likelihood.posterior import of_groups
from .._search.problem import log_bounds
from .fixed_groups import share

# Of what a parameter would be known with if all errors were, where it is not known.
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
        Of the estimated level at x = 0 and the coefficients.
    psi_covariance : ndarray of shape (2 + p,)
        Of the estimated psi with these, and its variance; 0 where psi is 0 or no
        parameter.
    """

    shift: np.ndarray
    level: float
    coef: np.ndarray
    effects: np.ndarray
    bounds: tuple
    covariance: np.ndarray
    psi_covariance: np.ndarray

    @property
    def intercept(self):
        """The level at x = 0."""
        return self.level - self.shift @ self.coef

    def doubt(self, X, variance, slope):
        """Variance of the estimate of v + psi times `slope`, for each row; `variance`
        is v.  Effects of groups count as known.
        """
        spread = slope**2 * self.psi_covariance[-1]
        for rows in row_blocks(*X.shape):
            gradient = variance[rows, None] * with_constant(X[rows])
            along = gradient @ self.psi_covariance[:-1]
            spread[rows] += np.sum((gradient @ self.covariance) * gradient, axis=1)
            spread[rows] += 2 * slope[rows] * along
        return spread

    def variance(self, X, codes):
        """v of each row; `codes` is -1 for a row of a new group."""
        variance = np.empty(X.shape[0])
        for rows in row_blocks(*X.shape):
            if sparse.issparse(X):
                value = self.intercept + X[rows] @ self.coef
            else:
                value = self.level + (X[rows] - self.shift) @ self.coef
            if len(self.effects):
                value += of_groups(self.effects, codes[rows], 0.0)
            np.clip(value, *self.bounds, out=value)
            np.exp(value, out=variance[rows])
        return variance


def with_constant(X):
    """[1 X], dense."""
    X = X.toarray() if sparse.issparse(X) else X
    return np.column_stack([np.ones(len(X)), X])


def log_variance(problem, point, information=None):
    """The log-variance of a fitted point.

    `information` is the observed one, if it is known.
    """
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
    covariances = _covariances(problem, point, information)
    return LogVariance(shift, float(level), coef, effects, bounds, *covariances)


def _sharing(problem):
    has_intercept = problem.structure.fit_variance_intercept
    return share(problem.variance_columns, problem.variance_moments, has_intercept)


def _covariances(problem, point, information):
    """Covariance of (intercept, coefficients), and that of psi with them and itself,
    from the observed information.
    """
    model, jacobian = problem.model, _jacobian(problem)
    if information is None:
        _, information = derivatives(model, point)
    inside = model.random and point.theta[-1] > 0
    if inside:
        jacobian = np.pad(jacobian, ((0, 1), (0, 1)))
        jacobian[-1, -1] = 1.0
    elif model.random:
        information = information.without_last()
    if not information.is_positive_definite():
        _, information = derivatives(model, point, expected=True)
        padding = PADDING * complete_information(model, point)
        information = information.with_diagonal(padding)
        jacobian = np.pad(jacobian, ((0, 0), (0, len(point.theta) - jacobian.shape[1])))
    covariance = jacobian @ information.solve(jacobian.T)
    if len(model.free) and problem.variance_columns.has_constant:
        # As in `penalised_posterior`: the prior variance of the effects' mean.
        covariance[0, 0] -= 1 / (model.effect_penalty * model.rows.n_groups)
    covariance = (covariance + covariance.T) / 2
    if not inside:
        return covariance, np.zeros(len(covariance) + 1)
    return covariance[:-1, :-1], covariance[-1]


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


def widen(log_variance, positions, n_features):
    """The same log-variance as a function of all features."""
    shift, coef = np.zeros(n_features), np.zeros(n_features)
    shift[positions], coef[positions] = log_variance.shift, log_variance.coef
    covariance = np.zeros((1 + n_features, 1 + n_features))
    wide = np.append(0, 1 + positions)
    covariance[np.ix_(wide, wide)] = log_variance.covariance
    psi_covariance = np.zeros(2 + n_features)
    psi_covariance[np.append(wide, -1)] = log_variance.psi_covariance
    return replace(
        log_variance,
        shift=shift,
        coef=coef,
        covariance=covariance,
        psi_covariance=psi_covariance,
    )
