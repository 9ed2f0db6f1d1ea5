"""The variance that predictions have since their weights come from estimated
covariances (docs/math.md, section 13.5).
"""

import numpy as np
from scipy.linalg import block_diag

from .._input.blocks import row_blocks, slices_of
from .._likelihood.conditional import root_of
from .._likelihood.factor import by_terms
from .._likelihood.mixed import whole
from .._likelihood.mixed_posterior import effect_rows
from .mixed_inference import all_variance_parameters

# The estimated variance of a prediction is too small by this term once for the weights,
# and once more because the estimated covariances are those at which it is small.
TIMES = 2.0


def added_by_weights(forms, posterior, X, codes):
    """The term of Kackar and Harville for the prediction of each row, (n,): math.md
    (207); `forms` are those of `estimated_weights`.
    """
    of_effects, of_errors, scale = forms
    found = np.empty(X.shape[0])
    for rows in row_blocks(X.shape[0], sum(of_effects.shape)):
        L = effect_rows(posterior, X[rows], [code[rows] for code in codes])
        h = posterior.population_rows(X[rows]) / np.sqrt(scale)
        squares = (L @ of_effects - h @ of_errors) ** 2
        found[rows] = scale * np.sum(squares, axis=1)
    return found


def estimated_weights(point, places):
    """Linear forms whose squares are the term of Kackar and Harville.

    Parameters
    ----------
    point : MixedPoint
        Without a penalty, and with few effects.
    places : list of ndarray of shape (K,)
        Positions of the posterior's levels among those of the point, by term.

    Returns
    -------
    of_effects : ndarray of shape (D, r)
        Of the weights of effects in a row, level by level as the posterior has them.
    of_errors : ndarray of shape (p, r)
        Of the rows h of the errors of the coefficients, in units of sigma.
    scale : float
        sigma^2.
    """
    sizes, Lambdas = point.model.gram.sizes, point.Lambdas
    N, k = whole(point)
    Psi = block_diag(
        *(np.kron(np.eye(K), L @ L.T) for (K, _), L in zip(sizes, Lambdas, strict=True))
    )
    parameters = all_variance_parameters(point)
    values, vectors = np.linalg.eigh(parameters.covariance[1:, 1:])
    known = values > 0
    roots = vectors[:, known] * np.sqrt(values[known])
    half, own = root_of(N), slices_of(map(len, parameters.directions))
    forms = []
    for weights in roots.T:
        moved = []
        for (K, _), E, some in zip(sizes, parameters.directions, own, strict=True):
            change = np.einsum("k,kab->ab", weights[some], E)
            moved.append(np.kron(np.eye(K), change))
        forms.append(block_diag(*moved) @ half)
    G = sum((F @ F.T for F in forms), start=np.zeros_like(N))
    form, effects = root_of(G), by_terms(np.arange(len(N))[:, None], sizes)
    order = [own[place].ravel() for own, place in zip(effects, places, strict=False)]
    of_effects = (np.eye(len(N)) - N @ Psi).T @ form
    return of_effects[np.concatenate(order)], k.T @ form, point.noise_variance
