"""Random problems of a log-variance beside random effects, in the package's terms and
as dense ones; variances are not at an optimum.
"""

from dataclasses import dataclass

import numpy as np

from oracles import mixed as dense
from skmixed._input.table import Data
from skmixed._likelihood.modelled_noise import ModelledNoisePoint
from skmixed._rows.mixed import reduce_terms
from skmixed._rows.term import CONSTANT, Term
from skmixed._search.mixed import likelihood_of
from skmixed._search.modelled_noise import Noise, make_noise_problem, structure_of

N_ROWS = 160
MEAN, VARIANCE = np.array([0, 1]), np.array([1, 2])
# Factors, columns of their effects, and blocks where these do not all covary.  Levels
# of `ab` are within those of `a`, and `c` crosses both.
OF_STRUCTURE = {
    "intercepts": [("a", [CONSTANT])],
    "slopes": [("a", [CONSTANT, 0])],
    "slope alone": [("a", [0])],
    "uncorrelated": [("a", [CONSTANT, 0], ((0,), (1,)))],
    "nested": [("a", [CONSTANT, 0]), ("ab", [CONSTANT])],
    "nested slopes": [("a", [CONSTANT, 1]), ("ab", [CONSTANT, 0, 1])],
    "crossed": [("a", [CONSTANT, 0]), ("c", [CONSTANT, 1])],
    "crossed slope": [("a", [0]), ("c", [CONSTANT])],
    "three": [("a", [CONSTANT]), ("ab", [CONSTANT]), ("c", [CONSTANT, 1])],
}
STRUCTURES = tuple(OF_STRUCTURE)


@dataclass(frozen=True)
class RandomNoiseProblem:
    """A point of the package, and the rows and terms that it is about."""

    data: Data
    terms: tuple
    reduced: object
    point: ModelledNoisePoint
    alpha: float

    @property
    def order(self):
        """The rows in the order of the point."""
        return np.argsort(self.point.noise.rows.chain.terms[0].codes, kind="stable")

    @property
    def spread(self):
        """The log-variance of each row about its mean."""
        spread = np.empty(N_ROWS)
        spread[self.order] = self.point.noise.rows.log_variance(self.point.gamma)
        return spread

    def columns(self, term):
        """The columns of the effects, in the user's units."""
        X = self.data.X
        return np.column_stack(
            [np.ones(N_ROWS) if j == CONSTANT else X[:, j] for j in term.columns]
        )

    def dense(self):
        """The same as a dense problem."""
        point, X = self.point, self.data.X
        triples = zip(
            self.reduced.order, self.reduced.coordinates, point.Lambdas, strict=True
        )
        terms = [
            dense.Term(
                self.columns(self.terms[t]),
                self.terms[t].codes,
                point.noise_variance * coordinates.to_user(Lambda @ Lambda.T),
            )
            for t, coordinates, Lambda in triples
        ]
        noise = point.noise_variance * np.exp(self.spread)
        penalty = np.diag([0.0, self.alpha, self.alpha]) / point.noise_variance
        columns = np.column_stack([np.ones(N_ROWS), X[:, MEAN]])
        return dense.problem(
            columns, self.data.y, terms, noise, self.data.weight, penalty
        )

    def slopes_of_V(self, directions):
        """Derivatives of V in gamma and along directions of Psi / sigma^2."""
        point, S = self.point, np.empty(self.point.noise.rows.S.shape)
        S[self.order] = point.noise.rows.S
        noise = point.noise_variance * np.exp(self.spread) / self.data.weight
        found = [np.diag(s * noise) for s in S.T]
        triples = zip(
            self.reduced.order, self.reduced.coordinates, directions, strict=True
        )
        for t, coordinates, E in triples:
            term = self.terms[t]
            Z = self.columns(term)
            same = term.codes[:, None] == term.codes
            found += [
                point.noise_variance * (Z @ coordinates.to_user(e) @ Z.T) * same
                for e in E
            ]
        return found


def _codes(rng):
    a = np.append(np.arange(9), rng.integers(9, size=N_ROWS - 9))
    c = np.append(np.arange(7), rng.integers(7, size=N_ROWS - 7))
    _, ab = np.unique(3 * a + rng.integers(3, size=N_ROWS), return_inverse=True)
    return {"a": a, "ab": ab, "c": c}


def random_noise_problem(structure, *, reml=True, alpha=0.0, seed=0):
    """A random problem of one of the `STRUCTURES`, of weighted rows."""
    rng = np.random.default_rng(seed)
    X = rng.normal([3.0, 0.0, -2.0], size=(N_ROWS, 3))
    codes, terms = _codes(rng), []
    for name, columns, *blocks in OF_STRUCTURE[structure]:
        code = codes[name].astype(np.int32)
        blocks = blocks[0] if blocks else (tuple(range(len(columns))),)
        levels = list(range(code.max() + 1))
        terms.append(Term(name, levels, code, np.array(columns), blocks))
    y = X @ [1.0, -0.5, 0.0] + rng.normal(size=N_ROWS) * np.exp(0.4 * X[:, 1])
    weight = rng.integers(1, 4, N_ROWS).astype(float)
    data, terms = Data(X, np.arange(3), None, y, weight), tuple(terms)
    reduced = reduce_terms(data, terms, MEAN, alpha=alpha, solver=("auto", 0, True))
    noise = Noise(VARIANCE, None, 0.5)
    options = {"reml": reml, "alpha": alpha, "fit_intercept": True}
    structure = structure_of(noise, terms, MEAN, **options)
    problem = make_noise_problem(data, terms, reduced, structure)
    model = likelihood_of(reduced, terms, reml, alpha)
    Lambdas = tuple(
        np.tril(rng.normal(size=(c.q, c.q))) * c.symmetric.any(axis=0)
        for c in model.covariances
    )
    point = problem.noise.at(model, np.array([0.4, 0.3]), Lambdas=Lambdas)
    return RandomNoiseProblem(data, terms, reduced, point, alpha)
