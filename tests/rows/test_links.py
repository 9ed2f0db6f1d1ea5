"""Sums over links of crossed factors, by pairs and by dense rows, against matrices."""

import numpy as np
import pytest

from skmixed._rows import crossed
from skmixed._rows.crossed import Links


@pytest.fixture(params=[1, 2])
def links(request):
    """Links of 12 levels and 7 columns, some of which have none."""
    rng = np.random.default_rng(request.param)
    group, column = np.nonzero(rng.random((12, 7)) < 0.4)
    values = rng.normal(size=(len(group), request.param))
    return Links(group, column, values, (12, 7))


@pytest.mark.parametrize("cost", [0.0, np.inf], ids=["dense", "pairs"])
@pytest.mark.parametrize("at_once", [10, 2**18])
def test_sums_are_those_of_matrices(links, cost, at_once, monkeypatch):
    monkeypatch.setattr(crossed, "DENSE", cost)
    monkeypatch.setattr(crossed, "PAIRS_AT_ONCE", at_once)
    q = links.values.shape[1]
    A = np.zeros((q, 12, 7))
    A[:, links.group, links.column] = links.values.T
    C = np.cov(np.random.default_rng(0).normal(size=(7, 20)))
    forms = np.einsum("agi,ij,bgj->gab", A, C, A)
    assert links.is_dense == (cost == 0)
    np.testing.assert_allclose(
        links.scatter(links.values), np.einsum("agi,agj->ij", A, A), atol=1e-13
    )
    np.testing.assert_allclose(links.forms(links.values, C), forms, atol=1e-13)
    np.testing.assert_allclose(
        links.form_sum(links.values, C), forms.sum(axis=0), atol=1e-13
    )


def test_other_values_are_in_the_same_places(links):
    partners = links.partners
    moved = links.with_values(2 * links.values)
    np.testing.assert_allclose(
        moved.scatter(moved.values), 4 * links.scatter(links.values), atol=1e-13
    )
    assert moved.partners is partners
