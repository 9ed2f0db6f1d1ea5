"""The modelled noise of a linear mixed model in the user's terms, and the uncertainty
of all variance parameters beside it (docs/math.md, section 16).

The parameters are log sigma^2, gamma, and coordinates of every Psi / sigma^2 of the
rank that it has, sigma^2 being the geometric mean of the noise variances.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag

from .._likelihood.mixed import coefficient_slopes
from .._likelihood.modelled_noise import (
    coefficient_slopes_of_gamma,
    curvature_of_gamma,
    second_of_all,
)
from .._rows.columns import Columns
from .fit import wide_mask
from .inference import CoefficientUncertainty
from .log_variance import LogVariance, widen
from .mixed_inference import (
    PredictiveUncertainty,
    VarianceParameters,
    all_directions,
    coordinates_of,
    covariance_of,
    curvature_of,
    over_rows,
    with_noise,
)


@dataclass(frozen=True, eq=False)
class FittedNoise:
    """The log-variance of a fit.

    Attributes
    ----------
    alpha : float
        Ridge penalty of its coefficients.
    positions : ndarray of shape (j,)
        Positions of its columns among the features.
    columns : Columns
        From these to working columns, the constant first.
    log_variance : LogVariance
        As a function of all features.
    estimable : ndarray of shape (1 + number of columns,)
        As `Fit.estimable`, of the log-variance.
    slopes : ndarray of shape (k, p, p)
        Derivatives of the covariance of the working coefficients in gamma.
    directions : tuple of ndarray of shape (k_t, q, q)
        Those of the coordinates of every Psi.
    information : ndarray of shape (1 + k + ..., 1 + k + ...)
        Of all parameters.
    all_directions, all_information
        Those of all entries of every Psi, where one is singular.
    """

    alpha: float
    positions: np.ndarray
    columns: Columns
    log_variance: LogVariance
    estimable: np.ndarray
    slopes: np.ndarray
    directions: tuple
    information: np.ndarray
    all_directions: tuple
    all_information: np.ndarray

    @property
    def gamma(self):
        """Coefficients of the working columns, the constant left out."""
        coef = self.log_variance.coef[self.positions]
        return np.linalg.lstsq(self.columns.back[:, 1:], coef, rcond=None)[0]

    def at(self, gamma, noise_variance):
        """The `LogVariance` of other coefficients of the working columns, in units of
        the geometric mean `noise_variance`.
        """
        fitted, coef = self.log_variance, np.zeros(len(self.log_variance.coef))
        coef[self.positions] = self.columns.back[:, 1:] @ gamma
        unit = np.log(noise_variance)
        bounds = tuple(bound - unit for bound in fitted.bounds)
        return replace(fitted, coef=coef, level=fitted.level - unit, bounds=bounds)

    @property
    def n_working(self):
        """Number of working columns, the constant left out."""
        return self.columns.rank - 1

    def components(self, point):
        """The `VarianceParameters` of a fit, gamma being unknown too."""
        k = self.n_working
        own = np.delete(np.arange(len(self.information)), np.arange(1, 1 + k))
        gamma = np.arange(1, 1 + k)
        A = self.information[np.ix_(own, own)]
        if k:
            B = self.information[np.ix_(own, gamma)]
            of_gamma = self.information[np.ix_(gamma, gamma)]
            A = A - B @ np.linalg.pinv(of_gamma, hermitian=True) @ B.T
        return VarianceParameters.known_by(point, self.directions, A)

    def uncertainty(self, point, root):
        """The uncertainty of the covariance of the coefficients; `root` is that of the
        latter.
        """
        slopes = [np.eye(root.shape[1])[None], self.slopes]
        slopes.append(coefficient_slopes(point, self.directions))
        covariance = covariance_of(point, self.information)
        return CoefficientUncertainty(root, np.concatenate(slopes), covariance)

    def predictive_uncertainty(self, point):
        """The `PredictiveUncertainty` of a fit, gamma being among the parameters."""
        covariance = covariance_of(point, self.all_information)
        return PredictiveUncertainty.at(point, self.all_directions, covariance)

    def freedom(self, known, posterior, X, codes):
        """Degrees of freedom of the variance of new observations, (n,): math.md (118);
        `known` is the `predictive_uncertainty`.

        Knowledge about effects is taken to depend on the noise of the rows of the fit
        by its scale alone.
        """
        noise = self.log_variance.variance(X, codes) / known.noise_variance

        def read(rows, variance, slopes, h):
            v = noise[rows]
            of_gamma = v[:, None] * self.columns.apply(X[rows][:, self.positions])
            of_gamma += np.einsum("ni,kij,nj->nk", h, self.slopes, h)
            return known.freedom(v + variance, np.hstack([of_gamma, slopes]))

        return over_rows(known, posterior, X, codes, read)


def fitted_noise(found, features, n_columns):
    """The modelled noise of a fit; None where the noise is constant.

    Parameters
    ----------
    found : MixedOptimum
    features : ndarray of shape (p,)
        Positions of the features among the columns of X.
    n_columns : int
        Number of these.
    """
    problem, point = found.noise_problem, found.noise_point
    if point is None:
        return None
    structure, columns = problem.structure, problem.columns
    positions = structure.variance
    roots, directions = coordinates_of(point)
    information = _information(point, roots, directions)
    wider = all_directions(point)
    of_all = None
    if sum(map(len, wider)) > sum(map(len, directions)):
        of_all = _expected(point, wider)
    fitted = _log_variance(found, covariance_of(point.mixed, information))
    return FittedNoise(
        alpha=structure.variance_alpha,
        positions=positions,
        columns=columns,
        log_variance=widen(fitted, positions, len(features), structure.offset),
        estimable=wide_mask(columns.estimable, features[positions], n_columns),
        slopes=coefficient_slopes_of_gamma(point),
        directions=directions,
        information=information,
        all_directions=directions if of_all is None else wider,
        all_information=information if of_all is None else of_all,
    )


def _information(point, roots, directions):
    """The observed information, or the average one: math.md (117)."""
    found = second_of_all(point, directions, at_end=True)
    scores = point.scores if roots else ()
    H = found.squares + block_diag(
        curvature_of_gamma(point, found), *map(curvature_of, scores, roots)
    )
    if found.is_exact:
        H = H + found.squares - found.traces
    return with_noise(point.mixed.factor_freedom, found.square, H)


def _expected(point, directions):
    """The expected information, which singular covariances have too; None where it is
    not known.
    """
    found = second_of_all(point, directions, at_end=True)
    if not found.is_exact:
        return None
    H = found.traces
    k = len(point.gamma)
    H[:k, :k] += 2 * point.noise.penalty
    return with_noise(point.mixed.factor_freedom, found.trace, H)


def _log_variance(found, covariance):
    """The `LogVariance` as a function of its own columns."""
    problem, point = found.noise_problem, found.noise_point
    columns, k = problem.columns, len(point.gamma)
    coef = columns.back[:, 1:] @ point.gamma
    typical = point.noise_variance * np.exp(-problem.average_offset)
    jacobian = np.zeros((1 + len(coef), 1 + k))
    jacobian[1:, 1:] = columns.back[:, 1:]
    jacobian[0] = -columns.shift @ jacobian[1:]
    jacobian[0, 0] = 1.0
    own = jacobian @ covariance[: 1 + k, : 1 + k] @ jacobian.T
    return LogVariance(
        shift=columns.shift,
        level=float(np.log(typical)),
        coef=coef,
        effects=np.empty(0),
        bounds=found.log_bounds,
        covariance=(own + own.T) / 2,
        joint=np.pad(own, (0, 1)),
    )
