"""Sums over links of crossed factors, by pairs and by dense rows, against matrices."""

import numpy as np
import pytest

from skmixed._rows import crossed, link_pairs
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


def test_places_in_a_large_matrix_are_whole_numbers():
    """Of more than 46,340 columns they were below 0."""
    one = np.zeros(1, dtype=int)
    links = Links(one, one + 49_999, np.ones((1, 1)), (1, 50_000))
    assert links.places.tolist() == [49_999 * 50_001]


@pytest.mark.parametrize("k", [0, 3])
@pytest.mark.parametrize("few", [0, 10**6], ids=["sparse", "dense"])
def test_products_are_those_of_matrices(links, few, k, monkeypatch):
    """A model without columns of the mean has none of them."""
    monkeypatch.setattr(crossed, "FEW_ENTRIES", few)
    q, rng = links.values.shape[1], np.random.default_rng(0)
    A = np.zeros((12, q, 7))
    A[links.group, :, links.column] = links.values
    rows, x = rng.normal(size=(12, q, k)), rng.normal(size=(7, k))
    np.testing.assert_allclose(
        links.back(links.values, rows), np.einsum("gai,gak->ik", A, rows), atol=1e-13
    )
    np.testing.assert_allclose(links.forth(links.values, x), A @ x, atol=1e-13)


@pytest.mark.parametrize("at_once", [3, 30, 2**16])
def test_pairs_by_columns_are_those_of_matrices(at_once, monkeypatch):
    monkeypatch.setattr(link_pairs, "PLACES_AT_ONCE", at_once)
    rng = np.random.default_rng(3)
    group, column = np.nonzero(rng.random((40, 9)) < 0.4)
    column = np.where(column > 4, column + 1, column)  # nobody is linked to column 5
    links = Links(group, column, rng.normal(size=(len(group), 1)), (41, 10))
    weight, A = rng.uniform(1, 2, size=41), np.zeros((41, 10))
    for each in (links, links.with_values(2 * links.values)):
        A[group, column] = each.values[:, 0]
        below = np.tril(np.ones((10, 10)))
        expected = below + np.triu(A.T * weight @ A)
        found = each.add_scatter(below.copy(), weight)
        np.testing.assert_allclose(found, expected, atol=1e-13)
        C, scale = np.cov(rng.normal(size=(10, 30))), rng.uniform(1, 2, size=10)
        forms = np.einsum("gi,ij,gj->g", A * scale, C, A * scale)
        found = each.plain_forms(np.triu(C), scale)
        np.testing.assert_allclose(found, forms, atol=1e-13)


def test_a_matrix_is_mirrored_in_place():
    A = np.triu(np.random.default_rng(0).normal(size=(600, 600)))
    whole = A + np.triu(A, 1).T
    assert link_pairs.mirror(A) is A
    np.testing.assert_array_equal(A, whole)


def test_other_values_are_in_the_same_places(links):
    partners = links.partners
    moved = links.with_values(2 * links.values)
    np.testing.assert_allclose(
        moved.scatter(moved.values), 4 * links.scatter(links.values), atol=1e-13
    )
    assert moved.partners is partners
