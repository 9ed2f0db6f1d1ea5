"""The factor of several terms that cross (docs/math.md, section 11).

The first term is eliminated level by level, and so are those that are nested around it;
all other effects are solved for at once by one dense matrix B.  Sums of squares at the
solution keep the digits that a difference would lose.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky, lapack, solve_triangular

from .._input.blocks import slices_of
from .._rows.around import (
    Coupled,
    backward,
    eliminate_around,
    forward,
    gathered,
    joined,
    split_vector,
    summed,
    with_rows,
)
from .._rows.crossed import CrossedGram
from .._rows.link_pairs import mirror
from .._rows.qr import EPS, stacked_root
from .._rows.threads import products_of
from .around import Stage, forms_around, stage_of
from .factor import (
    TriangularSystem,
    blocks_of_terms,
    by_terms,
    diagonal_blocks,
    known_covariance,
    places_of_terms,
    solve_lower,
    times,
    transpose,
    whitener,
    whole_root,
)

# If variances are so small that I - B^-1 is less than this, it has lost digits.
TOLD = 1e-4
# An inverse of so many rows, 18 megabytes, is kept from a step to its end.
FEW_KEPT = 1_500
# Components with more effects than this are inverted one by one, by half the products.
LARGE_COMPONENT = 50


@dataclass(frozen=True)
class CrossedFactor(TriangularSystem):
    """The factor of crossed terms at some Lambdas.

    Attributes
    ----------
    gram : CrossedGram
    Lambdas : tuple of ndarray of shape (q, q)
    C : ndarray of shape (K, q, q)
        Of the first term: C C' = I + K K'.
    around : ndarray of shape (K, q, w)
        C^-1 R12 of the effects of the terms around the first.
    Z_rows : ndarray of shape (E, q)
        C^-1 R12 of the links.
    residual_rows : ndarray of shape (K, q, m)
        C^-1 R12 (A~ - Z_2 change).
    steps : sequence of Step
        The elimination of the terms around.
    L : ndarray of shape (d, d)
        Lower triangular: L L' = B = I + Lambda_2'M22 Lambda_2 of the rest; 1 where this
        is I.
    change, W2_change : ndarray of shape (D, m)
        The modes of the other effects for every column of A, less a0; W22 times this.
    data_root : ndarray of shape (k, m)
        Of A'V^-1A.
    root : ndarray of shape (m, m)
        The same with the penalty's rows, upper triangular.
    logdet : float
        log|V| - log|R|.
    """

    gram: CrossedGram
    Lambdas: tuple
    C: np.ndarray
    around: np.ndarray
    Z_rows: np.ndarray
    residual_rows: np.ndarray
    steps: list
    L: np.ndarray
    change: np.ndarray
    W2_change: np.ndarray
    data_root: np.ndarray
    root: np.ndarray
    logdet: float

    @property
    def lost(self):
        """Rounding error of the determinants in units of that of 1."""
        return np.einsum("ij,ij->i", self.L, self.L).max()

    @cached_property
    def half(self):
        """C^-1 R11, (K, q, q)."""
        return solve_lower(self.C, self.gram.R11)

    @cached_property
    def F(self):
        """Z_1'V_1^-1 Z_2 of the links, (E, q)."""
        half = self.half[self.gram.links.group]
        return times(transpose(half), self.Z_rows[:, :, None])[:, :, 0]

    @property
    def B_upper(self):
        """Upper triangle of the inverse of B, (d, d), with 0 below."""
        if len(self.L) <= FEW_KEPT:
            return self._kept_upper
        return _inverse_of(self.L, self.gram.components)

    @cached_property
    def _kept_upper(self):
        return _inverse_of(self.L, self.gram.components)

    def B_inverse(self):
        """Inverse of B, (d, d), a new array."""
        return mirror(self.B_upper.copy())

    @property
    def rest(self):
        """Lambda and sizes of the terms that are neither the first nor around it."""
        return _rest(self.gram, self.Lambdas)

    @cached_property
    def covariance(self):
        """Cov(b_2 | y, beta) / sigma^2 of the effects of the rest, (d, d)."""
        if self.is_alone:
            return np.zeros_like(self.gram.W22)
        return _both(*self.rest, self.B_inverse(), overwrite=True)

    @cached_property
    def stages(self):
        """The `Stage` of the first term and of each term around it."""
        around = [*self.gram.outer, None]
        first = Stage(
            psi=self.Lambdas[0] @ self.Lambdas[0].T,
            D=times(transpose(self.half), self.half),
            F_around=transpose(self.half) @ self.around,
            F=self.F,
            own=self.own,
            links=self.gram.links,
            outside=around[0],
        )
        found = [first]
        for at, step in enumerate(self.steps):
            links = around[at].links
            found.append(stage_of(step, self.Lambdas[1 + at], links, around[at + 1]))
        return found

    @cached_property
    def forms(self):
        """See `forms_around`."""
        return self._forms(self.covariance)

    def _forms(self, covariance):
        links = self.gram.links
        if links.is_plain:
            of_first = self._level_figure**2 * links.plain_forms(covariance, 1.0)
            of_first = of_first[:, None, None]
        else:
            of_first = links.forms(self.F, covariance)
        return forms_around(self.stages, covariance, of_first)

    @property
    def is_alone(self):
        """Whether no effect but those of the first term has a variance."""
        return not any(Lambda.any() for Lambda in self.Lambdas[1:])

    @cached_property
    def projections(self):
        """Z'V^-1 A of every term, (K, q, m): math.md (44)."""
        gram = self.gram
        first = times(transpose(self.half), self.residual_rows)
        rest = gram.W2A + self._back(self.residual_rows)
        rest -= self.W2_change
        return first, *by_terms(rest, gram.sizes[1:])

    def _back(self, rows):
        """[around, Z_rows]'rows."""
        return _to_others(self.gram, self.around, self.Z_rows, rows)

    @property
    def modes_of_others(self):
        """Modes of the other effects for every column of A, (K, q, m) by terms.

        They are the solution itself.  Psi Z'V^-1 A would multiply the rounding error of
        a difference by Psi.
        """
        return by_terms(self.change + self.gram.a0, self.gram.sizes[1:])

    @cached_property
    def spread_sums(self):
        """The sum of the blocks (Z'V^-1 Z)_gg of every term, (q, q)."""
        rest = self.rest
        if self.is_alone:
            blocks = [stage.D for stage in self.stages]
            blocks += blocks_of_terms(self.M22, rest[1])
            return tuple(A.sum(axis=0) for A in blocks)
        inverse = self.B_upper if self._is_upper_enough else self.B_inverse()
        found, places = [], places_of_terms(rest[1])
        for Lambda, (K, q), here in zip(*rest, places, strict=True):
            # Lambda'(Z'V^-1 Z) Lambda of the other effects is I - B^-1.
            left = K * np.eye(q) - diagonal_blocks(inverse[here, here], q).sum(axis=0)
            if np.linalg.eigvalsh(left)[0] > TOLD * K:
                half = np.linalg.inv(Lambda)
                found.append(half.T @ left @ half)
            else:
                found.append(self._few_told(here, (K, q), inverse))
        first = self._spread_of_first(inverse)
        return tuple((A + A.T) / 2 for A in (*first, *found))

    @property
    def _is_upper_enough(self):
        """Whether `spread_sums` reads the upper triangle of the inverse of B alone."""
        is_plain = self.gram.links.is_plain and all(q == 1 for _, q in self.rest[1])
        return is_plain and not self.gram.outer

    def _spread_of_first(self, inverse):
        """`spread_sums` of the first term and of those around it; the inverse of B is
        overwritten.
        """
        links = self.gram.links
        D = np.einsum("gai,gaj->ij", self.half, self.half)
        if self._is_upper_enough:
            forms = links.plain_forms(inverse, _scale(*self.rest))
            return [D - self._level_figure**2 @ forms]
        covariance = _both(*self.rest, inverse, overwrite=True)
        if not self.gram.outer:
            return [D - links.form_sum(self.F, covariance)]
        pairs = zip(self.stages, self._forms(covariance), strict=True)
        return [(stage.D - X).sum(axis=0) for stage, X in pairs]

    @property
    def _level_figure(self):
        """F of plain links is this figure of the level times R12, (K,)."""
        return self.gram.R11[:, 0, 0] / self.C[:, 0, 0] ** 2

    def _few_told(self, here, size, inverse):
        """`spread_sums` of a term of which I - B^-1 tells too little."""
        if self._is_upper_enough:
            inverse = mirror(inverse.copy())
        (K, q), (Lambdas, sizes) = size, self.rest
        M22 = self.M22
        rows = _right(Lambdas, sizes, M22[here])
        if not _is_whole(self.gram.components):
            rows = sparse.csr_array(rows)
        half = _right([L.T for L in Lambdas], sizes, rows @ inverse)
        blocks = np.einsum(
            "kid,kjd->ij", *(A.reshape(K, q, -1) for A in (half, M22[here]))
        )
        return diagonal_blocks(M22[here, here], q).sum(axis=0) - blocks

    def traces_of_rest(self, loadings):
        """tr(N_st N_ts) of the blocks of N = Z'V^-1 Z - kk' for terms s and t of the
        rest, from their `loadings` k, (K, p) each: math.md (210); NaN where variances
        are so small that digits are lost.  None if a term has several effects, or the
        inverse of B is not kept.
        """
        Lambdas, sizes = self.rest
        is_large = len(self.gram.W22) > FEW_KEPT
        if self.is_alone or is_large or any(q > 1 for _, q in sizes):
            return None
        X, places = self.B_upper, places_of_terms(sizes)
        left = [
            K - np.diag(X)[s].sum() for (K, _), s in zip(sizes, places, strict=True)
        ]
        told = [a > TOLD * K for a, (K, _) in zip(left, sizes, strict=True)]
        found = np.full((len(sizes),) * 2, np.nan)
        for s, t in zip(*np.triu_indices(len(sizes)), strict=True):
            if told[s] and told[t]:
                unit = Lambdas[s][0, 0] * Lambdas[t][0, 0]
                some = X[places[s], places[t]], loadings[s], loadings[t]
                found[s, t] = found[t, s] = _square_of(*some, unit, s == t)
        return found

    @property
    def M22(self):
        """Z_2'V_1^-1 Z_2 of the rest, (d, d), V_1 without its terms."""
        return self._kept_M22 if len(self.gram.W22) <= FEW_KEPT else self._M22()

    @cached_property
    def _kept_M22(self):
        return self._M22()

    def _M22(self):
        M2 = _M2_upper(self.gram, self.C, self.around, self.Z_rows)
        return mirror(_eliminate(self.gram, self.Lambdas, M2)[1])

    @cached_property
    def effects_freedom(self):
        """About as many degrees of freedom as the effects take."""
        first = np.sum((self.half @ self.Lambdas[0]) ** 2)
        if self.is_alone:
            return first
        for step in self.steps:
            first += np.sum(step.before.own * times(transpose(step.half), step.half))
        inverse, _ = lapack.dtrtri(self.L, lower=1)
        return first + len(self.L) - np.sum(inverse**2)

    @cached_property
    def own(self):
        """Covariance of the first term's effects given the others, (K, q, q)."""
        Lambda = self.Lambdas[0]
        return known_covariance(times(self.gram.R11, Lambda), Lambda)

    @cached_property
    def carry(self):
        """d b_1 / d b_2 of the links, (E, q)."""
        Lambda = self.Lambdas[0]
        return -(self.F @ Lambda) @ Lambda.T

    def conditional_of(self, t):
        """Cov(b_g | y) of a term with the coefficients known, (K, q, q)."""
        n_around = len(self.gram.outer)
        if n_around and t <= n_around:
            stage = self.stages[t]
            return stage.own + stage.psi @ self.forms[t] @ stage.psi
        if t == 0 and self.is_alone:
            return self.own
        if t == 0 and self.gram.links.is_plain:
            figure = self._level_figure * self.Lambdas[0][0, 0] ** 2
            forms = self.gram.links.plain_forms(self.covariance, 1.0)
            return self.own + (figure**2 * forms)[:, None, None]
        if t == 0:
            return self.own + self.gram.links.forms(self.carry, self.covariance)
        return blocks_of_terms(self.covariance, self.rest[1])[t - 1 - n_around]

    def products_at_zero(self):
        """Products of N = Z'Z, if no effect has a variance: for terms s and t, s not
        after t, sum_gh N_ga,hb N_gc,hd as an array of (a, c, b, d).
        """
        sizes, M22, found = self.rest[1], self.M22, {}
        places = places_of_terms(sizes)
        n, widths = len(self.stages), [stage.D.shape[1] for stage in self.stages]
        for s, stage in enumerate(self.stages):
            of_around = slices_of(widths[s + 1 :])
            blocks = [stage.D, *(stage.F_around[:, :, some] for some in of_around)]
            for t, N in enumerate(blocks):
                found[s, s + t] = np.einsum("gab,gcd->acbd", N, N)
            N = stage.links.matrices(stage.F)
            for t, (_, q) in enumerate(sizes):
                parts = [M[:, places[t]] for M in N]
                found[s, n + t] = products_of_columns(
                    [[M[:, b::q] for b in range(q)] for M in parts]
                )
        for t, (K, q) in enumerate(sizes):
            for s, (K_s, q_s) in enumerate(sizes[: t + 1]):
                block = M22[places[s], places[t]].reshape(K_s, q_s, K, q)
                found[n + s, n + t] = _block_products(block)
        return found

    def variates(self, xs):
        """f'V^-1 f of the columns f = sum_t Z_t x_t; each x_t is (K, q, k)."""
        gram, k = self.gram, xs[0].shape[2]
        x2 = np.vstack([x.reshape(-1, k) for x in xs[1:]])
        rows = times(self.half, xs[0]) if k > 1 else self.half @ xs[0]
        rows = rows + _of_others(gram, self.around, self.Z_rows, x2)
        W2f = gram.W22_times(x2)
        M2f = W2f + self._back(rows)
        flat = rows.reshape(-1, k)
        known = x2.T @ W2f + flat.T @ flat
        if self.is_alone:
            return known
        parts, rest = forward(self.steps, M2f)
        white = solve_triangular(self.L, _left(*self.rest, rest), lower=True)
        for part in (*(part.reshape(-1, k) for part in parts), white):
            known = known - part.T @ part
        return known


def products_of_columns(parts):
    """`products_at_zero` of the matrices [a][b] of a term with one of the rest."""
    q, r = len(parts), len(parts[0])
    found = np.empty((q, q, r, r))
    for a, c, b, d in np.ndindex(q, q, r, r):
        found[a, c, b, d] = parts[a][b].multiply(parts[c][d]).sum()
    return found


def _is_whole(components):
    """Whether all effects are of one component."""
    return len(components) == len(components[0]) == 1


def _root_of(B, components):
    """Lower triangular L, L L' = B (d, d) symmetric, of which the upper triangle is
    read if there is one component only; B may be overwritten.
    """
    if _is_whole(components):
        with products_of(len(B)):  # of the transpose, which is in LAPACK's order
            return cholesky(B.T, lower=True, overwrite_a=True, check_finite=False)
    L = np.zeros_like(B)
    for some in components:
        here = some[:, :, None], some[:, None, :]
        L[here] = np.linalg.cholesky(B[here].swapaxes(1, 2))  # reads what is below
    return L


def _inverse_of(L, components):
    """Upper triangle of the inverse of L L', a new array with 0 below."""
    if _is_whole(components):
        return _inverse_of_one(L)
    found = np.zeros_like(L)
    for some in components:
        here = some[:, :, None], some[:, None, :]
        if some.shape[1] > LARGE_COMPONENT:
            found[here] = [_inverse_of_one(one) for one in L[here]]
        else:
            half = np.linalg.inv(L[here])
            found[here] = np.triu(half.swapaxes(1, 2) @ half)
    return found


def _inverse_of_one(L):
    """`_inverse_of` effects of one component."""
    with products_of(len(L)):
        inverse, _ = lapack.dpotri(L, lower=1)
    return inverse.T


def factorize_crossed(gram, Lambdas, penalty):
    """Factor A'V^-1A of crossed terms: math.md (40) and (41).

    Parameters
    ----------
    gram : CrossedGram
    Lambdas : tuple of ndarray of shape (q, q)
    penalty : ndarray of shape (k, m) or None
        Rows P that add |P [-beta; 1]|^2 to the residual sum of squares.

    Returns
    -------
    CrossedFactor
    """
    links = gram.links
    C = whitener(times(gram.R11, Lambdas[0]))
    rows = solve_lower(C, gram.R12)
    Z_rows = solve_lower(C[links.group], links.values[:, :, None])[:, :, 0]
    around = gram.around if gram.outer else gram.R12[:, :, :0]
    around = solve_lower(C, around)
    whitened = C, around, Z_rows
    if any(Lambda.any() for Lambda in Lambdas[1:]):
        steps, L, u, b = _solve_others(gram, Lambdas, whitened, rows)
    else:
        steps, L, u, b = [], np.eye(1), np.zeros_like(gram.a0), 0.0
        if gram.outer:
            steps, _ = _eliminate(gram, Lambdas, _M2_upper(gram, *whitened))
    change = b - gram.a0
    rows = rows - _of_others(gram, around, Z_rows, change)
    W2_change = gram.W22_times(change)
    left = _left_root(gram, change, W2_change)
    data_root = stacked_root([left, rows.reshape(-1, rows.shape[2]), u])
    logdet = sum(
        2 * np.log(np.diagonal(A, axis1=-2, axis2=-1)).sum()
        for A in (C, L, *(step.C for step in steps))
    )
    return CrossedFactor(
        gram=gram,
        Lambdas=Lambdas,
        C=C,
        around=around,
        Z_rows=Z_rows,
        residual_rows=rows,
        steps=steps,
        L=L,
        change=change,
        W2_change=W2_change,
        data_root=data_root,
        root=whole_root([data_root], penalty, gram.origin),
        logdet=logdet,
    )


def _rest(gram, Lambdas):
    """Lambda and sizes of the terms that are neither the first nor around it."""
    n = 1 + len(gram.outer)
    return Lambdas[n:], gram.sizes[n:]


def _M22_upper(gram, C, Z_rows):
    """The upper triangle of Z_2'V_1^-1 Z_2 of the rest, V_1 with the first term alone:
    a new array, below is anything.
    """
    if gram.links.is_plain:
        return gram.links.add_scatter(gram.W22.copy(), C[:, 0, 0] ** -2.0)
    M22 = gram.links.scatter(Z_rows)
    M22 += gram.W22
    return M22


def _M2_upper(gram, C, around, Z_rows):
    """Z_2'V_1^-1 Z_2 of all terms but the first, V_1 with this alone; of the rest the
    upper triangle.
    """
    outer = gram.outer
    if outer:
        outer = with_rows(outer, around, gram.links.with_values(Z_rows))
    return Coupled(outer, _M22_upper(gram, C, Z_rows))


def _eliminate(gram, Lambdas, M2):
    """The steps of the terms around the first, and what they leave of M22."""

    def turn(at, own):
        Lambda = Lambdas[1 + at]
        if len(Lambda) == 1:
            C = np.sqrt(1.0 + own * Lambda**2)
        else:
            C = np.linalg.cholesky(np.eye(len(Lambda)) + Lambda.T @ own @ Lambda)
        return C, solve_lower(C, np.broadcast_to(Lambda.T, C.shape))

    return eliminate_around(M2, [stage.links for stage in gram.outer], turn)


def _solve_others(gram, Lambdas, whitened, rows):
    """The steps of the terms around the first, L, and all other effects of every column
    of A, in units of Lambda and as they are.
    """
    rest, (_, around, Z_rows) = _rest(gram, Lambdas), whitened
    steps, M22 = _eliminate(gram, Lambdas, _M2_upper(gram, *whitened))
    if any(q > 1 for _, q in rest[1]):  # Lambda_2 mixes both triangles
        mirror(M22)
    rows = rows + _of_others(gram, around, Z_rows, gram.a0)
    M2A = gram.W2_whole + _to_others(gram, around, Z_rows, rows)
    B = _both([Lambda.T for Lambda in rest[0]], rest[1], M22, overwrite=True)
    B[np.diag_indices_from(B)] += 1.0
    L = _root_of(B, gram.components)
    parts, M2A = forward(steps, M2A)
    half = solve_triangular(L, _left(*rest, M2A), lower=True, check_finite=False)
    u = solve_triangular(L, half, trans="T", lower=True, check_finite=False)
    b = _times_lambda(*rest, u)
    if not steps:
        return steps, L, u, b
    found, whites = backward(steps, parts, b)
    of_around = []
    for step, white in zip(steps, whites, strict=True):
        turned = np.swapaxes(step.C, 1, 2)
        some = np.linalg.solve(turned, white) if white.shape[1] > 1 else white / turned
        of_around.append(some)
    return steps, L, joined(of_around, u), joined(found, b)


def _left_root(gram, change, W2_change):
    """Root of (A~ - Z_2 change)'(A~ - Z_2 change) without the first term's effects.

    Columns are compared in units of what is left of them, and of no less than the
    rounding of their own length: where effects span a column, its products with others
    are rounding errors, and would be large in units of themselves.
    """
    cross = change.T @ gram.W2A
    fitted = change.T @ W2_change
    whole = gram.R22.T @ gram.R22
    scatter = whole - cross - cross.T + fitted
    length = np.sum(gram.R12**2, axis=(0, 1)) + gram.W22_diagonal @ gram.a0**2
    scale = np.sqrt(np.diag(whole) + np.abs(np.diag(fitted)) + EPS * length)
    unit = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(scatter / np.outer(unit, unit))
    values = np.where(values > len(unit) * EPS, values, 0.0)
    return (np.sqrt(values)[:, None] * vectors.T) * unit


# Products with the links, and with the block-diagonal Lambda of the other terms, whose
# effects are counted level by level, one term after the other.


def _to_others(gram, around, Z_rows, rows):
    """[around, Z_rows]'rows (D, k), rows being (K, q, k)."""
    found = gram.links.back(Z_rows, rows)
    if not gram.outer:
        return found
    return joined(summed(gram.outer, transpose(around) @ rows), found)


def _of_others(gram, around, Z_rows, x):
    """[around, Z_rows] x (K, q, k), x being (D, k)."""
    if not gram.outer:
        return gram.links.forth(Z_rows, x)
    parts, rest = split_vector(gram.outer, x)
    return gram.links.forth(Z_rows, rest) + around @ gathered(gram.outer, parts)


def _left(Lambdas, sizes, A):
    """Lambda_2'A."""
    parts = zip(Lambdas, by_terms(A, sizes), strict=True)
    k = A.shape[1]
    return np.vstack([times(L.T, part).reshape(-1, k) for L, part in parts])


def _times_lambda(Lambdas, sizes, A):
    """Lambda_2 A."""
    return _left([L.T for L in Lambdas], sizes, A)


def _right(Lambdas, sizes, A):
    """A Lambda_2, for a symmetric A or some rows of one."""
    found, places = [], places_of_terms(sizes)
    for L, (K, q), here in zip(Lambdas, sizes, places, strict=True):
        part = A[:, here].reshape(len(A), K, q)
        found.append(times(part, L).reshape(len(A), -1))
    return found[0] if len(found) == 1 else np.hstack(found)


def _both(Lambdas, sizes, A, overwrite=False):
    """Lambda_2 A Lambda_2', a new array, or A if that may be overwritten."""
    if all(q == 1 for _, q in sizes):
        scale = _scale(Lambdas, sizes)
        found = np.multiply(A, scale, out=A if overwrite else None)
        found *= scale[:, None]
        return found
    turned = [L.T for L in Lambdas]
    return _times_lambda(Lambdas, sizes, _right(turned, sizes, A))


def _scale(Lambdas, sizes):
    """The diagonal of Lambda_2 where all terms have one effect, (d,)."""
    return np.repeat([L[0, 0] for L in Lambdas], [K for K, _ in sizes])


def _square_of(X, left, right, unit, is_own):
    """|(I - X) / unit - left right'|^2, I being 0 if this is not a diagonal block; of
    one the upper triangle of X is read.
    """
    square, cross = np.einsum("ij,ij->", X, X), np.sum(left * (X @ right))
    if is_own:
        own = np.diag(X)
        square = 2 * square - own @ own - 2 * own.sum() + len(X)
        cross = 2 * cross - own @ np.sum(left * right, axis=1)
        cross -= np.sum(left * right)
    square_of_both = np.sum((left.T @ left) * (right.T @ right))
    return square / unit**2 + 2 * cross / unit + square_of_both


def _block_products(A):
    """sum_gh A_gahb A_gchd as an array of (a, c, b, d)."""
    _, q_s, _, q = A.shape
    flat = A.transpose(1, 3, 0, 2).reshape(q_s * q, -1)
    return (flat @ flat.T).reshape(q_s, q, q_s, q).transpose(0, 2, 1, 3)
