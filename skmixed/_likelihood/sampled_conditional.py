"""The covariance of crossed effects given the data, by draws (docs/math.md, 19).

As `conditional`, where the covariance of all effects is too large to be kept.  The
variance of a row's own effects, given all others, is exact; only what the others add
comes from draws.  Covariances of several rows are solved for.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from .._rows.iterative import IterativeGram
from .._rows.sparse_matrix import sparse_matrix
from .conditional import root_of, rows_of_effects
from .factor import places_of_terms, times
from .iterative import OF_DRAWS, OF_VARIATES, Equations

# Rows whose joint covariance is solved for, a solution each.
MOST_JOINT = 1_000
# A factor with at most so many effects has their covariance by a solution for each, as
# many as there are draws.
FEW_EFFECTS = 32
# Rows whose variances are computed at a time.
ROWS_AT_ONCE = 2**14


@dataclass(frozen=True)
class SampledConditional:
    """Cov(b | y, beta), from draws and by solutions.

    Attributes
    ----------
    gram : IterativeGram
        Without the draws of its errors.
    Lambdas : tuple of ndarray of shape (q, q)
        In the order of elimination.
    scale : float
        The noise variance.
    drawn : tuple of ndarray of shape (n_draws, K q)
        u ~ N(0, C^-1) of every term.
    pushed : tuple of ndarray of shape (n_draws, K q)
        C u.
    """

    gram: IterativeGram
    Lambdas: tuple
    scale: float
    drawn: tuple
    pushed: tuple

    @property
    def sizes(self):
        """Levels K and columns q of every term."""
        return self.gram.sizes

    @cached_property
    def equations(self):
        """C, as products."""
        return Equations(self.gram, self.Lambdas)

    @cached_property
    def starts(self):
        """The first of each term's effects among all, and their number."""
        ends = np.cumsum([0] + [K * q for K, q in self.sizes])
        return ends[:-1], int(ends[-1])

    @property
    def few_rows(self):
        """Any number of rows is jointly few: more are refused."""
        return np.inf

    def rows(self, Z, codes, n):
        """As that of `Conditional`, csr_array (n, D)."""
        starts, D = self.starts
        return rows_of_effects(Z, codes, starts, (n, D))

    def weights(self, rows):
        """The weights of the effects alone."""
        return (rows,)

    def variance(self, Z, codes, n):
        """Variance (n,) of z'b of each row."""
        return self._estimate(Z, codes, n)[0]

    def variance_error(self, Z, codes, n):
        """Standard error of `variance` by the draws, (n,)."""
        return self._estimate(Z, codes, n)[1]

    def _estimate(self, Z, codes, n):
        """Variances and their standard errors: math.md (155)."""
        found = np.empty((2, n))
        for start in range(0, n, ROWS_AT_ONCE):
            some = slice(start, min(start + ROWS_AT_ONCE, n))
            known = [code[some] for code in codes]
            rows = [
                np.where((code >= 0)[:, None], z[some] @ L, 0.0)
                for z, L, code in zip(Z, self.Lambdas, known, strict=True)
            ]
            found[:, some] = self._of_rows(rows, [np.maximum(c, 0) for c in known])
        return self.scale * found

    def _of_rows(self, rows, codes):
        """The same in units of the noise variance; `rows` are Lambda'z."""
        c = np.concatenate(rows, axis=1)
        P = self._own_equations([z.any(axis=1) for z in rows], codes)
        a = np.linalg.solve(P, c[:, :, None])[:, :, 0]
        exact = np.sum(a * c, axis=1)
        moved = np.zeros((len(self.drawn[0]), len(c)))
        start = 0
        for t, code in enumerate(codes):
            q = rows[t].shape[1]
            for i in range(q):
                place = code.astype(np.intp) * q + i
                moved += c[:, start + i] * self.drawn[t][:, place]
                moved -= a[:, start + i] * self.pushed[t][:, place]
            start += q
        squares = moved**2
        error = squares.std(axis=0, ddof=1) / np.sqrt(len(squares))
        return exact + squares.mean(axis=0), error

    def _own_equations(self, known, codes):
        """The block of C of the levels of each row, (n, Q, Q)."""
        q = [size[1] for size in self.sizes]
        starts = np.cumsum([0, *q])
        P = np.tile(np.eye(starts[-1]), (len(codes[0]), 1, 1))
        for t, (block, code) in enumerate(
            zip(self.equations.blocks, codes, strict=True)
        ):
            some = np.flatnonzero(known[t])
            own = slice(starts[t], starts[t + 1])
            P[some, own, own] = block[code[some]]
        for (s, t), pairs in self.gram.between():
            both = np.flatnonzero(known[s] & known[t])
            G = np.empty((len(both), q[s], q[t]))
            for i in range(q[s]):
                for j in range(q[t]):
                    row = codes[s][both].astype(np.int64) * q[s] + i
                    G[:, i, j] = pairs.at(row, codes[t][both] * q[t] + j)
            M = times(times(self.Lambdas[s].T, G), self.Lambdas[t])
            first, second = (slice(starts[i], starts[i + 1]) for i in (s, t))
            P[both, first, second] = M
            P[both, second, first] = np.swapaxes(M, 1, 2)
        return P

    def level_covariance(self, t):
        """Cov(b_g | y, beta) of each level of a term, (K, q, q)."""
        found, L = self.solved[t], self.Lambdas[t]
        if found is None:
            found = self.equations.inverses[t].copy()
            for moved in self._moved(t):
                outer = moved[:, :, None] * moved[:, None]
                found += outer / len(self.drawn[t])
        return self.scale * (L @ found @ L.T)

    def level_variance_error(self, t, basis):
        """Standard errors by the draws of the diagonals of `level_covariance`, in a
        basis (q, q) of the effects, (K, q); 0 where no draws were needed.
        """
        if self.solved[t] is not None:
            return np.zeros(self.sizes[t])
        B = basis @ self.Lambdas[t]
        squares = np.array([(moved @ B.T) ** 2 for moved in self._moved(t)])
        return self.scale * squares.std(axis=0, ddof=1) / np.sqrt(len(squares))

    def _moved(self, t):
        """In each draw the part (K, q) of a term's effects that all others explain."""
        inverse, (K, q) = self.equations.inverses[t], self.sizes[t]
        for u, v in zip(self.drawn[t], self.pushed[t], strict=True):
            own = np.einsum("gab,gb->ga", inverse, v.reshape(K, q))
            yield u.reshape(K, q) - own

    @cached_property
    def solved(self):
        """The blocks (K, q, q) of C^-1 of every level of each term with few effects, by
        a solution for each effect; None for the other terms.
        """
        found = []
        for t, (K, q) in enumerate(self.sizes):
            blocks = np.empty((K, q, q)) if K * q <= FEW_EFFECTS else None
            for place in range(0 if blocks is None else K * q):
                right = [np.zeros(K * q) for K, q in self.sizes]
                right[t][place] = 1.0
                u, _ = self.equations.solve(right, OF_VARIATES)
                blocks[place // q, :, place % q] = u[t].reshape(K, q)[place // q]
            if blocks is not None:
                blocks = (blocks + np.swapaxes(blocks, 1, 2)) / 2
            found.append(blocks)
        return found

    def extended(self, positions, sizes, Psi):
        """The same of further levels too, which have no rows yet; the arguments are
        those of `Conditional.extended`.
        """
        rng = np.random.default_rng([self.gram.seed, 4])
        own, draws, places = [], [], []
        for t, (place, (K, q)) in enumerate(zip(positions, sizes, strict=True)):
            own.append(np.zeros((K, q, q)))
            own[t][place] = self.gram.own[t]
            at = (q * place[:, None] + np.arange(q)).ravel()
            prior = rng.standard_normal((len(self.drawn[t]), K * q), dtype=np.float32)
            draws.append((prior, prior.copy()))
            for wide, old in zip(
                draws[t], (self.drawn[t], self.pushed[t]), strict=True
            ):
                wide[:, at] = old
            places.append(at)
        pairs = []
        for (s, t), some in self.gram.between():
            M = some.matrix.tocoo()
            where = places[s][M.coords[0]], places[t][M.coords[1]]
            shape = own[s].shape[0] * sizes[s][1], own[t].shape[0] * sizes[t][1]
            moved = sparse.coo_array((M.data, where), shape=shape)
            pairs.append(sparse_matrix(moved, is_sorted=True))
        gram = replace(self.gram, own=tuple(own), pairs=tuple(pairs))
        drawn, pushed = zip(*draws, strict=True)
        return SampledConditional(gram, self.Lambdas, self.scale, drawn, pushed)

    def observed(self, Z, precision, right):
        """Condition on further rows, as `Conditional.observed`: math.md (157)."""
        (starts, D), weight = self.starts, self.scale * precision
        terms = places_of_terms(self.sizes)
        G = ((Z * weight[:, None]).T @ Z).tocsr()
        own = [
            C + _level_blocks(G[some, some], C.shape[1])
            for C, some in zip(self.gram.own, terms, strict=True)
        ]
        pairs = [
            sparse_matrix(some.matrix + G[terms[s], terms[t]], is_sorted=True)
            for (s, t), some in self.gram.between()
        ]
        # Another update shall have other errors.
        seed = self.gram.seed + 1
        gram = replace(self.gram, own=tuple(own), pairs=tuple(pairs), seed=seed)
        after = self._drawn_anew(gram, Z, weight)
        eq, moved = after.equations, np.empty((D, right.shape[1]))
        for j, values in enumerate(right.T):
            b = eq.back(np.split(Z.T @ (weight * values), starts[1:]))
            u, _ = eq.solve(b, OF_VARIATES)
            moved[:, j] = np.concatenate(eq.scaled(u))
        return after, moved

    def _drawn_anew(self, gram, Z, weight):
        """The same after further rows, with the products of all rows."""
        eq, (starts, _) = Equations(gram, self.Lambdas), self.starts
        rng, root = np.random.default_rng([gram.seed, 5]), np.sqrt(weight)
        drawn, pushed = ([part.copy() for part in x] for x in (self.drawn, self.pushed))
        for k in range(len(drawn[0])):
            errors = Z.T @ (root * rng.standard_normal(len(root)))
            errors = eq.back(np.split(errors, starts[1:]))
            v = [part[k] + e for part, e in zip(pushed, errors, strict=True)]
            near = [part[k].astype(float) for part in drawn[1:]]
            u, _ = eq.solve(v, OF_DRAWS, near)
            for part, one in zip([*drawn, *pushed], [*u, *v], strict=True):
                part[k] = one
        parts = gram, self.Lambdas, self.scale, tuple(drawn), tuple(pushed)
        return SampledConditional(*parts)

    def covariance(self, W):
        """Covariance (n, n) of rows with these weights, by a solution for each."""
        n = W.shape[0]
        if n > MOST_JOINT:
            raise ValueError(
                f"The joint distribution of {n:,} rows by a model with "
                f"solver='iterative' takes as many solutions; it is offered for "
                f"{MOST_JOINT:,} rows at most. Pass fewer rows at a time."
            )
        starts, D = self.starts
        eq, right = self.equations, np.empty((n, D))
        solved = np.empty((n, D))
        for k, row in enumerate(W.toarray()):
            parts = eq.back(np.split(row, starts[1:]))
            right[k] = np.concatenate(parts)
            solved[k] = np.concatenate(eq.solve(parts, OF_VARIATES)[0])
        found = self.scale * (right @ solved.T)
        return (found + found.T) / 2

    def draws(self, W, n_samples, random_state):
        """Draws (n, n_samples) of z'b of rows with these weights, about 0."""
        root = root_of(self.covariance(W))
        return root @ random_state.standard_normal((W.shape[0], n_samples))


def sample_conditional(factor, scale):
    """The covariance of the effects at a fit, by draws: math.md (154).

    Parameters
    ----------
    factor : IterativeFactor
    scale : float
        The noise variance.

    Returns
    -------
    SampledConditional
    """
    eq, gram = factor.equations, factor.gram
    rng = np.random.default_rng([gram.seed, 3])
    drawn = [np.empty(part.shape, dtype=np.float32) for part in gram.errors]
    pushed = [np.empty(part.shape, dtype=np.float32) for part in gram.errors]
    for k in range(len(gram.errors[0])):
        errors = eq.back([part[k].astype(float) for part in gram.errors])
        v = [rng.standard_normal(len(e)) + e for e in errors]
        u, _ = eq.solve(v, OF_DRAWS)
        for part, one in zip([*drawn, *pushed], [*u, *v], strict=True):
            part[k] = one
    bare = replace(gram, products=(), errors=tuple(part[:0] for part in gram.errors))
    return SampledConditional(bare, eq.Lambdas, scale, tuple(drawn), tuple(pushed))


def _level_blocks(A, q):
    """The blocks (K, q, q) of a sparse block-diagonal matrix."""
    A, blocks = A.tocoo(), np.zeros((A.shape[0] // q, q, q))
    (level, i), (_, j) = (np.divmod(c, q) for c in A.coords)
    np.add.at(blocks, (level, i, j), A.data)
    return blocks
