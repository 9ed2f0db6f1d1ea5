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
    point : Point
    information : ndarray of shape (k, k)
        The average information in the place of second derivatives.
    correction : ndarray of shape (k, k)
        What is to be added to it, as far as it is known.
    """

    point: object
    information: np.ndarray
    correction: np.ndarray

    @property
    def hessian(self):
        """The second derivatives, nearly."""
        return self.information + self.correction


def secant(point, information, before=None):
    """The `Secant` of a point, `before` being that from which a step has led to it:
    math.md (187).
    """
    k = len(information)
    if before is None or before.point.model.covariances != point.model.covariances:
        return Secant(point, information, np.zeros((k, k)))
    unit, correction = point.units, before.correction
    average = (information + before.information) / 2 + correction
    step = point.x - before.point.x
    left = point.gradient() - before.point.gradient() - average @ step
    step, left = step / unit, left * unit
    square = step @ step
    if square > 0:
        change = (np.outer(left, step) + np.outer(step, left)) / square
        change -= (left @ step) * np.outer(step, step) / square**2
        correction = correction + change / np.outer(unit, unit)
    return Secant(point, information, correction)
