"""Average information, corrected by the gradients at both ends of a step
(docs/math.md, 11.6).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Secant:
    """The second derivatives at a point of a search.

    Attributes
    ----------
    x, gradient : ndarray of shape (k,)
    covariances : tuple of Covariance
        The parameters are those of these.
    information : ndarray of shape (k, k)
        The average information in the place of second derivatives.
    correction : ndarray of shape (k, k)
        What is to be added to it, as far as it is known.
    """

    x: np.ndarray
    gradient: np.ndarray
    covariances: tuple
    information: np.ndarray
    correction: np.ndarray

    @property
    def hessian(self):
        """The second derivatives, nearly."""
        return self.information + self.correction


def secant(point, information, before=None):
    """The `Secant` of a point, `before` being that from which a step has led to it, or
    None: math.md (187).
    """
    correction = np.zeros_like(information)
    x, gradient, covariances = point.x, point.gradient(), point.model.covariances
    if before is not None and before.covariances == covariances:
        correction, unit = before.correction, point.units
        average = (information + before.information) / 2 + correction
        step = x - before.x
        left = (gradient - before.gradient - average @ step) * unit
        step = step / unit
        square = step @ step
        if square > 0:
            change = (np.outer(left, step) + np.outer(step, left)) / square
            change -= (left @ step) * np.outer(step, step) / square**2
            correction = correction + change / np.outer(unit, unit)
    return Secant(x, gradient, covariances, information, correction)
