"""Closed forms of the normal distribution."""

import numpy as np
from scipy.stats import norm

from skmixed._likelihood.normal import normal_covers, normal_interval


def test_the_ends_of_an_interval_are_inside():
    mean, std = np.array([1.0, -2.0]), np.array([0.5, 3.0])
    low, high = normal_interval(mean, std, 0.8)
    np.testing.assert_allclose(norm(mean, std).cdf(high), 0.9, rtol=1e-12)
    for end, outwards in ((low, -np.inf), (high, np.inf)):
        assert normal_covers(end, mean, std, 0.8).all()
        assert not normal_covers(np.nextafter(end, outwards), mean, std, 0.8).any()
