"""Covariances of factors around the first, level by level."""

import numpy as np
from numpy.testing import assert_allclose

from skmixed._likelihood.around import stage_of
from skmixed._rows.around import Around, ChangingLinks, Step

# Products of a few figures.
SAME = 1e-14


def test_variances_so_large_that_one_beside_them_is_rounding():
    """I + own psi was singular in double precision, though its eigenvalues are at
    least 1: math.md (202) has D = own (I + psi own)^-1.
    """
    u, variance = np.array([1e-8, 1e8]), 1e20
    Lambda = np.sqrt(variance) * np.ones((2, 1)) / u[:, None] * [[1.0, 0.0]]
    own = np.outer(u, u)[None]
    ordinary = np.array([[[2.0, 1.0], [1.0, 1.0]]])
    values = np.array([3 * u])
    links = ChangingLinks(np.array([0]), np.array([0]), values, (1, 1))
    none = np.array([0])
    before = Around(own, u[None, :, None], links, none, none)
    half = np.zeros((1, 2, 2))
    stage = stage_of(Step(before, half, half, before.up, values), Lambda, links, None)
    left = 1 + 4 * variance
    assert_allclose(stage.D, own / left, rtol=SAME)
    assert_allclose(stage.F_around, before.up / left, rtol=SAME)
    assert_allclose(stage.F, values / left, rtol=SAME)
    before = Around(ordinary, before.up, links, none, none)
    Lambda = np.array([[1.0, 0.0], [-2.0, 3.0]])
    stage = stage_of(Step(before, half, half, before.up, values), Lambda, links, None)
    turn = np.linalg.inv(np.eye(2) + ordinary[0] @ Lambda @ Lambda.T)
    assert_allclose(stage.D[0], turn @ ordinary[0], rtol=SAME)
    assert_allclose(stage.F_around[0, :, 0], turn @ u, rtol=SAME)
