"""Reference figures of tests/estimators/test_mixed_batches.py, to 20 digits.

    python tests/stored/far_batches.py > tests/stored/far_batches.json

The rows are those of the test: y and one feature jump by a million from batch to batch.
Cross-products of each group are taken with 90 digits (mpmath), of which none is lost to
the jumps, and the REML criterion is minimised by Newton's method in the entries of
Lambda, with differences in the place of derivatives.
"""

import json
import sys
from pathlib import Path

import mpmath as mp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "estimators"))
from test_mixed_batches import FAR, GROUPS, ONE, far_apart

from skmixed import LinearMixedRegressor

mp.mp.dps = 90
STEP = mp.mpf(10) ** -25


def exact(A):
    """A matrix of doubles with all digits."""
    return mp.matrix([[mp.mpf(float(a)) for a in row] for row in A])


def sums(A, Z, codes):
    """Z'Z and Z'A of every group, and A'A."""
    parts = []
    for group in np.unique(codes):
        of_A, of_Z = exact(A[codes == group]), exact(Z[codes == group])
        parts.append((of_Z.T * of_Z, of_Z.T * of_A))
    A = exact(A)
    return parts, A.T * A


def entries(q, covary):
    return [(i, j) for i in range(q) for j in range(i + 1) if covary or i == j]


def at(theta, places, parts, total, n):
    """The criterion, Lambda, the coefficients, sigma^2 and (X'V0^-1X)^-1."""
    q, p = parts[0][0].rows, total.rows - 1
    L, W, logdet = mp.zeros(q), total.copy(), mp.mpf(0)
    for place, value in zip(places, theta, strict=True):
        L[place] = value
    for G, B in parts:
        C = mp.eye(q) + L.T * G * L
        W -= B.T * L * mp.inverse(C) * L.T * B
        logdet += mp.log(mp.det(C))
    inverse = mp.inverse(W[:p, :p])
    beta = inverse * W[:p, p]
    rss = W[p, p] - (W[p, :p] * beta)[0]
    value = (n - p) * mp.log(rss) + logdet + mp.log(mp.det(W[:p, :p]))
    return value, L, beta, rss / (n - p), inverse


def minimum(f, theta):
    """Where f is least, close to theta."""
    k, unit = len(theta), [abs(t) for t in theta]
    for _ in range(20):

        def moved(*steps, theta=theta):
            new = list(theta)
            for i, sign in steps:
                new[i] += sign * STEP * unit[i]
            return f(new)

        g, H = mp.zeros(k, 1), mp.zeros(k)
        for i in range(k):
            g[i] = (moved((i, 1)) - moved((i, -1))) / (2 * STEP)
            for j in range(k):
                corners = [
                    (a * b, moved((i, a), (j, b))) for a in (1, -1) for b in (1, -1)
                ]
                H[i, j] = sum(s * v for s, v in corners) / (4 * STEP**2)
        step = mp.lu_solve(H, g)
        theta = [t - u * s for t, u, s in zip(theta, unit, step, strict=True)]
        if max(map(abs, step)) < mp.mpf(10) ** -22:
            return theta
    raise RuntimeError("no minimum")


def listed(matrix):
    return [[float(v) for v in row] for row in matrix.tolist()]


def main():
    found, (X, y) = {}, far_apart()
    A = np.column_stack([np.ones(len(y)), X, y])
    for terms in ONE:
        model = LinearMixedRegressor(terms).fit(X, y, groups=GROUPS)
        Psi = model.random_effects_covariance_["s"] / model.noise_variance_
        columns = [0] * (not terms.startswith("(0")) + [1] * ("x" in terms)
        places = entries(len(columns), "||" not in terms)
        start = [mp.mpf(float(np.linalg.cholesky(Psi)[place])) for place in places]
        known = places, *sums(A, A[:, columns], GROUPS["s"].to_numpy()), len(y)
        theta = minimum(lambda t, known=known: at(t, *known)[0], start)
        _, L, beta, variance, inverse = at(theta, *known)
        found[terms] = {
            "coef_": [float(b) for b in beta[1:]],
            "intercept_": float(beta[0]),
            "coef_covariance_": listed(variance * inverse),
            "noise_variance_": float(variance),
            "random_effects_covariance_": listed(variance * L * L.T),
        }
    print(json.dumps({"far": FAR, "fits": found}, indent=1))


if __name__ == "__main__":
    main()
