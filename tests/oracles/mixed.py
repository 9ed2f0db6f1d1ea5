"""The dense oracle of mixed models with any number of terms: V is written out, n x n.

    y = X beta + sum_t Z_t b_t + e,   b_t of each level ~ N(0, Psi_t),   e_j ~ N(0, v_j)

Everything follows from the definitions and from the rules of the normal distribution;
nothing here is fast, and nothing is shared with the package.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from oracles.reference import condition, generalised_least_squares

# A variance that adds less than this share of the noise to a row counts as 0.
NONE = 1e-10


@dataclass(frozen=True)
class Term:
    """The random effects of one factor.

    Attributes
    ----------
    Z : ndarray of shape (n, q)
    codes : ndarray of shape (n,)
        The level of each row.  Two rows share their effects if their codes are equal.
    Psi : ndarray of shape (q, q)
    blocks : tuple of tuples
        Effects of one block covary freely, effects of two blocks do not.
    """

    Z: np.ndarray
    codes: np.ndarray
    Psi: np.ndarray
    blocks: tuple = ()


@dataclass(frozen=True)
class Problem:
    """Rows of a mixed model at given variances.

    Attributes
    ----------
    X : ndarray of shape (n, p)
    y : ndarray of shape (n,)
    terms : tuple of Term
    noise : ndarray of shape (n,)
        Variance of each error.
    weight : ndarray of shape (n,)
        How often a row counts; weights are repetitions.
    penalty : ndarray of shape (p, p)
        An addition to X'V^-1X: the precision of the coefficients before the data.
    """

    X: np.ndarray
    y: np.ndarray
    terms: tuple
    noise: np.ndarray
    weight: np.ndarray
    penalty: np.ndarray

    @property
    def V(self):
        """Covariance of y, a row of weight w being the mean of w equal rows."""
        return shared(self.terms, self.terms) + np.diag(self.noise / self.weight)


def problem(X, y, terms, noise, weight=None, penalty=None):
    """A `Problem`, its noise a number or one for each row."""
    n, p = X.shape
    weight = np.ones(n) if weight is None else weight
    penalty = np.zeros((p, p)) if penalty is None else penalty
    return Problem(X, y, tuple(terms), noise * np.ones(n), weight, penalty)


def shared(first, second):
    """Covariance that two sets of rows have by the effects that they share."""
    total = 0.0
    for a, b in zip(first, second, strict=True):
        total = total + (a.Z @ a.Psi @ b.Z.T) * (a.codes[:, None] == b.codes)
    return total


def with_psi(at, psi, noise=None):
    """The same rows at other covariances, one for each term."""
    terms = tuple(
        replace(term, Psi=np.atleast_2d(Psi))
        for term, Psi in zip(at.terms, psi, strict=True)
    )
    noise = at.noise if noise is None else noise * np.ones(len(at.y))
    return replace(at, terms=terms, noise=noise)


# ---------------------------------------------------------------------------- the fit


def coefficients(at):
    """Generalised least squares: (beta, its covariance)."""
    return generalised_least_squares(at.X, at.y, at.V, at.penalty)


def log_likelihood(at, reml):
    """Log-density of y, all constants included, of REML lme4's; the penalty is left out
    but in log|X'V^-1X + penalty|.
    """
    V = at.V
    beta, covariance = coefficients(at)
    r = at.y - at.X @ beta
    value = at.weight.sum() * np.log(2 * np.pi) + at.weight @ np.log(at.noise)
    value += np.linalg.slogdet(V)[1] - np.sum(np.log(at.noise / at.weight))
    value += r @ np.linalg.solve(V, r)
    if reml:
        value -= at.X.shape[1] * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1]
    return -0.5 * value


def profiled_noise(at, reml):
    """The best sigma^2 with every Psi / sigma^2 held, of equal noise (no penalty)."""
    beta, _ = coefficients(at)
    r = at.y - at.X @ beta
    freedom = at.weight.sum() - reml * at.X.shape[1]
    return at.noise[0] * (r @ np.linalg.solve(at.V, r)) / freedom


# --------------------------------------------------------------------------- new rows


@dataclass(frozen=True)
class Rows:
    """New rows: features, and a `Term` of the same Psi for every factor.

    A code that the data have is a known level; one that they do not have is a new one,
    which the rows with that code share.  `rows` gives a code of its own to a missing
    label.
    """

    X: np.ndarray
    terms: tuple


def rows(at, X, Z, codes):
    """New rows of the factors of a problem; a code of -1 is a missing label."""
    terms = []
    for k, (term, z, c) in enumerate(zip(at.terms, Z, codes, strict=True)):
        own = 10**6 * (k + 1) + np.arange(len(X))
        codes = np.where(np.asarray(c) < 0, own, c)
        terms.append(replace(term, Z=np.asarray(z), codes=codes))
    return Rows(X, tuple(terms))


def predict(at, new, factors=None):
    """Mean and covariance of new rows without their noise.

    `factors` are positions of the factors whose effects count; the effects of the
    others are 0 (None: all count).
    """
    beta, covariance = coefficients(at)
    return predict_with(at, new, beta, covariance, at, factors)


def predict_with(at, new, beta, covariance, source, factors=None):
    """The same after the rows of `at`, beta and its covariance coming from `source`.

    The error of beta is that of the estimate from the rows of `source`, which are among
    those of `at`; b - E(b | beta, y of `at`) does not depend on it.
    """
    factors = range(len(at.terms)) if factors is None else factors
    old = tuple(at.terms[k] for k in factors)
    terms = tuple(new.terms[k] for k in factors)
    cross = shared(terms, old) if old else np.zeros((len(new.X), len(at.y)))
    prior = shared(terms, terms) if old else np.zeros((len(new.X),) * 2)
    if source is at:
        V = at.V
        return condition(at.X, at.y, V, new.X, prior, cross, at.penalty)
    gain = np.linalg.solve(at.V, cross.T).T
    lever = new.X - gain @ at.X
    mean = new.X @ beta + gain @ (at.y - at.X @ beta)
    return mean, prior - gain @ cross.T + lever @ covariance @ lever.T


def stack(at, new, y, noise, weight=None):
    """The problem with further rows below its own."""
    weight = np.ones(len(y)) if weight is None else weight
    terms = tuple(
        replace(a, Z=np.vstack([a.Z, b.Z]), codes=np.concatenate([a.codes, b.codes]))
        for a, b in zip(at.terms, new.terms, strict=True)
    )
    return replace(
        at,
        X=np.vstack([at.X, new.X]),
        y=np.concatenate([at.y, y]),
        terms=terms,
        noise=np.concatenate([at.noise, noise * np.ones(len(y))]),
        weight=np.concatenate([at.weight, weight]),
    )


def predict_after(at, more, y, noise, new, factors=None):
    """Prediction of `new` after further rows `more`, of which the random effects learn
    and the coefficients do not.
    """
    beta, covariance = coefficients(at)
    both = stack(at, more, y, noise)
    return predict_with(both, new, beta, covariance, at, factors)


def random_effects(at, k, levels, after=None):
    """Conditional modes (K, q) of term k, their covariance with beta known and that of
    their prediction errors, both (K, q, q).

    `after` are further rows (a problem with `at` on top), of which beta does not learn.
    """
    both = at if after is None else after
    beta, covariance = coefficients(at)
    term = both.terms[k]
    q = term.Z.shape[1]
    modes = np.empty((len(levels), q))
    known, error = np.empty((2, len(levels), q, q))
    V, residual = both.V, both.y - both.X @ beta
    for i, level in enumerate(levels):
        cross = (term.Z * (term.codes == level)[:, None] @ term.Psi).T
        gain = np.linalg.solve(V, cross.T).T
        modes[i] = gain @ residual
        known[i] = term.Psi - gain @ cross.T
        lever = gain @ both.X
        error[i] = known[i] + lever @ covariance @ lever.T
    return modes, known, error


# ------------------------------------------------------------- derivatives, inference


def gradient(function, x, step=1e-4):
    """Central differences, extrapolated; `function` may be of any shape."""
    x = np.asarray(x, dtype=float)
    steps = step * np.eye(len(x))

    def central(h):
        return np.array([(function(x + h * s) - function(x - h * s)) for s in steps])

    return (8 * central(1.0) - central(2.0)) / (12 * step)


def hessian(function, x, step=1e-3):
    """Second derivatives of a number by differences of differences, extrapolated."""
    return gradient(lambda t: gradient(function, t, step), x, step)


def free_covariances(at):
    """Coordinates of the covariances at a point: (x0, units, function x -> Psi's).

    In each block Psi = L L' with L of as many columns as Psi has rank.  A rotation of
    the columns of L makes its top triangular (largest rows first), so that the entries
    of L are coordinates of the matrices of that rank: the null directions of a singular
    Psi stay out.  `units` are the standard deviations of the rows.
    """
    pieces, x0, units = [], [], []
    for t, term in enumerate(at.terms):
        share = np.diag(term.Psi) * np.mean(term.Z**2, axis=0) / np.mean(at.noise)
        Psi = np.where(np.minimum.outer(share, share) > NONE, term.Psi, 0.0)
        blocks = term.blocks or (tuple(range(term.Psi.shape[0])),)
        for block in blocks:
            L, entries = _trapezoid(Psi[np.ix_(block, block)])
            pieces.append((t, np.array(block), L.shape, entries))
            x0.extend(L[entries])
            units.extend(np.sqrt(np.sum(L**2, axis=1))[entries[0]])

    def psi(x):
        matrices = [np.zeros_like(term.Psi) for term in at.terms]
        first = 0
        for t, block, shape, entries in pieces:
            L, last = np.zeros(shape), first + len(entries[0])
            L[entries], first = x[first:last], last
            matrices[t][np.ix_(block, block)] = L @ L.T
        return matrices

    return np.array(x0), np.array(units), psi


def _trapezoid(Psi, tolerance=1e-9):
    """L (q, r) of a matrix of rank r, and which entries of it are free."""
    scale = np.sqrt(np.diag(Psi))
    scale = np.where(scale > 0, scale, 1.0)
    L, remaining, order = np.zeros((len(Psi), 0)), Psi / np.outer(scale, scale), []
    while np.diag(remaining).max() > tolerance:
        i = int(np.argmax(np.diag(remaining)))
        column = remaining[:, i] / np.sqrt(remaining[i, i])
        column[order] = 0.0
        L = np.column_stack([L, column])
        remaining = remaining - np.outer(column, column)
        order.append(i)
    free = np.ones(L.shape, dtype=bool)
    for j in range(len(order)):
        free[order[:j], j] = False
    return scale[:, None] * L, np.nonzero(free)


def satterthwaite(at, reml, variance=None):
    """Degrees of freedom 2 f^2 / (g' A g) by differences; at the optimum only.

    f is `variance(problem)`, by default that of every coefficient; g is its gradient in
    (log sigma^2, coordinates of every Psi), A = 2 H^-1 and H the second derivatives of
    -2 log-likelihood.
    """
    variance = variance or (lambda p: np.diag(coefficients(p)[1]))
    x0, units, psi = free_covariances(at)

    def moved(x):
        return with_psi(at, psi(x0 + units * x[1:]), at.noise * np.exp(x[0]))

    zero = np.zeros(1 + len(x0))
    H = hessian(lambda x: -2 * log_likelihood(moved(x), reml), zero)
    g = gradient(lambda x: variance(moved(x)), zero)
    f = variance(at)
    return 2 * f**2 / np.einsum("ik,ij,jk->k", g, 2 * np.linalg.inv(H), g)


def relaxed(at, reml, n_steps=100):
    """The problem at the optimum of its covariances and sigma^2, by Newton's method
    with differences, started where it is; for tests that need an optimum.
    """
    sizes = [term.Psi.shape[0] for term in at.terms]
    masks = [_free_entries(term) for term in at.terms]

    def unpack(x):
        first, out = 1, []
        for q, mask in zip(sizes, masks, strict=True):
            L = np.zeros((q, q))
            last = first + mask.sum()
            L[mask], first = x[first:last], last
            out.append(L @ L.T)
        return with_psi(at, out, np.exp(x[0]))

    def roots():
        for term, mask in zip(at.terms, masks, strict=True):
            jitter = 1e-12 * max(np.trace(term.Psi), 1e-12) * np.eye(len(term.Psi))
            yield np.linalg.cholesky(term.Psi + jitter)[mask]

    x = np.concatenate([[np.log(at.noise[0])], *roots()])

    def value(x):
        return -log_likelihood(unpack(x), reml)

    x = minimize(value, x, method="BFGS", options={"gtol": 1e-5}).x
    for _ in range(n_steps):
        step = np.linalg.lstsq(hessian(value, x), gradient(value, x), rcond=1e-7)[0]
        if not value(x - step) < value(x) + 1e-9:
            break
        x = x - step
        if np.abs(step).max() < 1e-9:
            break
    return unpack(x)


def _free_entries(term):
    q = len(term.Psi)
    blocks = term.blocks or (tuple(range(q)),)
    mask = np.zeros((q, q), dtype=bool)
    for block in blocks:
        mask[np.ix_(block, block)] = True
    return np.tril(mask)


# ------------------------------------------------------------------- random problems

STRUCTURES = ("one", "nested", "crossed", "nested3", "crossed3", "mixed")


def levels_of(structure, n, rng):
    """Codes of every row for the factors of a structure; each level has rows.

    "mixed" is a factor within another one, and a third one across both.
    """

    def across(K):
        return np.concatenate([np.arange(K), rng.integers(K, size=n - K)])

    first = across(12)
    # The levels around a level are not in the order of those inside.
    parent, grandparent = np.array([2, 0, 3, 1])[first // 3], 1 - first // 6
    return {
        "one": [first],
        "nested": [first, parent],
        "crossed": [first, rng.permutation(across(5))],
        "nested3": [first, parent, grandparent],
        "crossed3": [first, rng.permutation(across(5)), rng.permutation(across(4))],
        "mixed": [first, parent, rng.permutation(across(5))],
    }[structure]


def random_problem(seed, structure="one", q=1, *, n=70, diagonal=False, weights=False):
    """A random problem at random variances (not at the optimum).

    Parameters
    ----------
    seed : int
    structure : one of `STRUCTURES`
    q : int or tuple of int
        Columns of every term (1 to 4): a constant first, then columns of X.
    n : int
    diagonal : bool
        Whether the effects of a term are independent.
    weights : bool
        Whether rows have weights, 1 to 3.
    """
    rng = np.random.default_rng(seed)
    codes = levels_of(structure, n, rng)
    qs = (q,) * len(codes) if np.isscalar(q) else q
    features = rng.normal(size=(n, 3)) + rng.normal(size=(12, 3))[codes[0]] / 2
    X = np.column_stack([np.ones(n), features])
    terms = []
    for code, k in zip(codes, qs, strict=True):
        L = np.tril(rng.normal(size=(k, k))) / np.sqrt(k) + 0.3 * np.eye(k)
        L = np.diag(np.abs(np.diag(L))) if diagonal else L
        blocks = tuple((i,) for i in range(k)) if diagonal else (tuple(range(k)),)
        terms.append(Term(X[:, :k], code, L @ L.T, blocks))
    noise = float(rng.uniform(0.3, 1.5))
    y = X @ rng.normal(size=4) + np.sqrt(noise) * rng.normal(size=n)
    for term in terms:
        root = np.linalg.cholesky(term.Psi)
        effects = rng.normal(size=(term.codes.max() + 1, len(root))) @ root.T
        y = y + np.sum(term.Z * effects[term.codes], axis=1)
    weight = rng.integers(1, 4, size=n).astype(float) if weights else None
    return problem(X, y, terms, noise, weight)


def random_rows(at, seed=0, n=12):
    """New rows of a problem: known, new (shared) and missing labels of every factor."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, at.X.shape[1] - 1))])
    codes = []
    for term in at.terms:
        K = int(term.codes.max()) + 1
        choice = rng.integers(K, size=n)
        kind = rng.choice(4, size=n, p=[0.5, 0.2, 0.15, 0.15])
        choice = np.where(kind == 1, K, np.where(kind == 2, K + 1, choice))
        codes.append(np.where(kind == 3, -1, choice))
    Z = [X[:, : term.Z.shape[1]] for term in at.terms]
    return rows(at, X, Z, codes)
