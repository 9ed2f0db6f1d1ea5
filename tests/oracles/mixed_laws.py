"""What has to hold of any fit of a linear mixed model.

`check` raises AssertionError with what does not hold.
"""

import copy
import pickle
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr
from scipy.optimize import minimize

from oracles import laws

N_RANDOM = 50
# In log-likelihood, for each row: what rounding may hide, and what the search leaves.
CRITERION = 1e-7
# Rounding of V, for each row and each multiple of the noise variance in its diagonal.
ROUNDING = 1e-15
# A column is dependent on others if less than this of its length is left.
DEPENDENT = 1e-9
NUMBERS = (
    "coef_", "intercept_", "coef_covariance_", "coef_std_", "intercept_std_",
    "noise_variance_", "log_likelihood_", "variance_coef_", "variance_intercept_",
)  # fmt: skip
DICTIONARIES = (
    "random_effects_", "random_effects_std_", "random_effects_conditional_std_",
    "random_effects_covariance_",
)  # fmt: skip


def check(problem):
    """Fit the problem and judge the outcome: "fitted" or the error's message."""
    before = copy.deepcopy(problem.data)
    try:
        model, told = laws.fit(problem)
    except (ValueError, TypeError) as error:
        laws.assert_unchanged(problem.data, before)
        laws.assert_clear(error)
        return str(error)
    assert_finite(model)
    predictions = predict(model, problem)
    assert_predictive(predictions)
    for other in (laws.fit(problem)[0], pickle.loads(pickle.dumps(model))):
        laws.assert_same_bits(predict(other, problem), predictions)
    if has_maximum(model, told) and not loses_digits(problem):
        assert_best(model, problem)
    laws.assert_unchanged(problem.data, before)
    return "fitted"


def assert_finite(model):
    """No NaN, no infinity, no negative variance."""
    values = {name: getattr(model, name) for name in NUMBERS if hasattr(model, name)}
    for name in DICTIONARIES:
        for factor, value in getattr(model, name).items():
            values[f"{name}[{factor!r}]"] = value
    for name, value in values.items():
        assert np.isfinite(value).all(), f"{name} is {value}"
        if "std" in name or name == "noise_variance_":
            assert (np.asarray(value) >= 0).all(), f"{name} is {value}"
    for factor, Psi in model.random_effects_covariance_.items():
        assert np.array_equal(Psi, Psi.T), factor
        assert (np.diag(Psi) >= 0).all(), factor


def predict(model, problem):
    """Everything that is predicted, for known and for new levels."""
    figures = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for kind, groups in (("known", problem.groups), ("new", None)):
            figures[kind] = np.array(
                model.predict(problem.X, groups=groups, return_std=True)
            )
            figures[f"{kind}, mean"] = np.array(
                model.predict_mean(problem.X, groups=groups, return_std=True)
            )
        data = {"X": problem.X, "groups": problem.groups}
        figures["density"] = np.array(model.log_predictive_density(y=problem.y, **data))
        figures["draws"] = model.sample_y(**data)
        str(model.summary())
    laws.assert_calm(caught)
    return figures


def assert_predictive(figures):
    """Standard deviations are those of new observations, and above those of means."""
    for kind, values in figures.items():
        assert np.isfinite(values).all(), f"{kind}: {values}"
    for kind in ("known", "new"):
        mean, std = figures[kind]
        assert (std > 0).all(), kind
        expected, error = figures[f"{kind}, mean"]
        assert (std >= error * (1 - laws.ROUNDING)).all(), kind
        assert np.allclose(mean, expected, rtol=laws.ROUNDING, atol=1e-9 * std.max())


def has_maximum(model, told):
    """Whether the fit claims to be a maximum of a criterion, with one noise variance
    and without a penalty.
    """
    constant = hasattr(model, "noise_variance_")
    return constant and model.converged_ and not model.alpha and "exactly" not in told


def loses_digits(problem):
    """Whether columns far from zero are counted in the cross-products of a sparse X."""
    return "cs" in problem.story["container"] and "offset" in problem.story["columns"]


# ----------------------------------------------------------------- the criterion, dense


@dataclass(frozen=True)
class Criterion:
    """Rows in units of their own, n x n, with sigma^2 profiled out.

    Attributes
    ----------
    Q : ndarray of shape (n, p)
        An orthonormal basis of the columns of the mean.
    y, weight : ndarray of shape (n,)
    Z : list of ndarray of shape (n, q)
        Columns of the effects, factor by factor, in units of `scales`.
    codes : list of ndarray of shape (n,)
    scales : list of ndarray of shape (q,)
        One unit of each effect of the model, in units of Z's effects times those of y.
    diagonal : list of bool
        Whether the effects of a factor do not covary.
    reml : bool
    """

    Q: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    Z: list
    codes: list
    scales: list
    diagonal: list
    reml: bool

    def covariance(self, roots):
        """V / sigma^2 at covariances L L' / sigma^2, one L for each factor."""
        V = np.diag(1 / self.weight)
        for Z, codes, L in zip(self.Z, self.codes, roots, strict=True):
            ZL = Z @ L
            V += (ZL @ ZL.T) * (codes[:, None] == codes)
        return V

    def at(self, roots):
        """The log-likelihood at roots L, but for a constant."""
        root = np.linalg.cholesky(self.covariance(roots))
        white = np.linalg.solve(root, np.column_stack([self.Q, self.y]))
        R = np.linalg.qr(white, mode="r")
        p = self.Q.shape[1]
        freedom = self.weight.sum() - self.reml * p
        value = freedom * np.log(R[p, p] ** 2) + 2 * np.sum(np.log(np.diag(root)))
        if self.reml:
            value += 2 * np.sum(np.log(np.abs(np.diag(R)[:p])))
        return -0.5 * value

    def loss(self, roots):
        """How many times y is larger than what is left of it, both whitened."""
        root = np.linalg.cholesky(self.covariance(roots))
        white = np.linalg.solve(root, np.column_stack([self.Q, self.y]))
        R = np.linalg.qr(white, mode="r")
        return np.linalg.norm(white[:, -1]) / abs(R[-1, -1])

    def unpack(self, x):
        """Roots of a vector of their free entries."""
        roots, first = [], 0
        for Z, diagonal in zip(self.Z, self.diagonal, strict=True):
            q = Z.shape[1]
            L = np.zeros((q, q))
            where = np.diag_indices(q) if diagonal else np.tril_indices(q)
            L[where] = x[first : first + len(where[0])]
            first += len(where[0])
            roots.append(L)
        return roots

    @property
    def identity(self):
        """The vector of unit roots, where lme4 starts."""
        return np.concatenate(
            [
                np.ones(Z.shape[1])
                if diagonal
                else np.eye(Z.shape[1])[np.tril_indices(Z.shape[1])]
                for Z, diagonal in zip(self.Z, self.diagonal, strict=True)
            ]
        )

    def climb(self, x):
        """The log-likelihood at the optimum that a point leads to."""

        def deviance(t):
            try:
                return -self.at(self.unpack(t))
            except np.linalg.LinAlgError:
                return np.inf

        return -minimize(deviance, x, method="L-BFGS-B", options={"maxiter": 40}).fun


def criterion_of(model, problem):
    """The criterion of a fit, and the roots at the fit."""
    counts = problem.weight if problem.weight is not None else np.ones(len(problem.y))
    some = counts > 0
    scale = np.abs(problem.dense[some]).max(axis=0, initial=0)
    scale = np.where(scale > 0, scale, 1.0)
    X = problem.dense[some] / scale
    unit = np.abs(problem.y[some]).max() or 1.0
    mean = np.column_stack([np.ones(len(X)), X]) if model.fit_intercept else X
    Z, scales, roots, diagonal = [], [], [], []
    noise = np.sqrt(model.noise_variance_)
    for k, (columns, intercept, bar) in enumerate(problem.story["terms"]):
        z = [np.ones(len(X))] * intercept + [X[:, j] for j in columns]
        s = np.array([1.0] * intercept + [scale[j] for j in columns])
        Z.append(np.column_stack(z))
        scales.append(s)
        diagonal.append(bar == "||" or not len(columns))
        Psi = model.random_effects_covariance_.get(f"g{k}")
        if Psi is None:
            Psi = next(iter(model.random_effects_covariance_.values()))
        roots.append(root_of(Psi, s, noise))
    return Criterion(
        Q=basis(mean, counts[some]),
        y=problem.y[some] / unit,
        weight=counts[some],
        Z=Z,
        codes=[c[some] for c in problem.codes],
        scales=scales,
        diagonal=diagonal,
        reml=model.method == "reml",
    ), roots


def root_of(Psi, scale, noise):
    """L with L L' = Psi in units of the noise and of scaled columns."""
    relative = (Psi * scale / noise) * scale[:, None] / noise
    values, vectors = np.linalg.eigh(relative)
    return vectors * np.sqrt(np.maximum(values, 0))


def basis(X, weight):
    """An orthonormal basis of the columns of X, as far as weighted rows can tell."""
    root = np.sqrt(weight)[:, None]
    length = np.linalg.norm(root * X, axis=0)
    unit = X / np.where(length > 0, length, 1)
    if not X.shape[1]:
        return X
    Q, R, _ = qr(root * unit, mode="economic", pivoting=True)
    rank = int(np.sum(np.abs(np.diag(R)) > DEPENDENT))
    return Q[:, :rank] / root


def assert_best(model, problem):
    """No random covariances have a higher criterion than the fitted ones, and neither
    have the optima that the best of them, and unit covariances, lead to.
    """
    criterion, roots = criterion_of(model, problem)
    if criterion.Q.shape[1] >= len(criterion.y):  # fitted exactly by any covariance
        return
    best, n = criterion.at(roots), len(criterion.y)
    largest = np.max(np.diag(criterion.covariance(roots)) * criterion.weight)
    allowed = (CRITERION + ROUNDING * (largest + criterion.loss(roots))) * (1 + n)
    rng = np.random.default_rng(problem.story["seed"])
    unit = criterion.identity
    drawn = [
        rng.normal(size=len(unit)) * 10.0 ** rng.uniform(-2, 1) for _ in range(N_RANDOM)
    ]
    rivals = [criterion.at(criterion.unpack(x)) for x in drawn]
    gain = max(rivals) - best
    for x in (unit, drawn[int(np.argmax(rivals))]):
        gain = max(gain, criterion.climb(x) - best)
    assert gain <= allowed, f"{gain:.3g} above {best:.10g}, that of the fit"
