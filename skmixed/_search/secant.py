"""Average information, corrected by the gradients at both ends of a step
(docs/math.md, 11.6).
"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Secant:
    """The second derivatives at a point of a search.

    Attributes
    ----------
    x, gradient, units : ndarray of shape (k,)
    covariances : tuple of Covariance
        The parameters are those of these.
    average : ndarray of shape (k, k)
        The average information in the place of second derivatives.
    known : ndarray of shape (k, k) or None
        Their part beside it, as far as that is free; None far from the optimum.
    correction : ndarray of shape (k, k)
        A term to be added to both, as far as gradients tell it.
    step, change : ndarray of shape (k,) and (k, k), or None
        The step that has led to the point, and the change of the average information
        along it.
    """

    x: np.ndarray
    gradient: np.ndarray
    units: np.ndarray
    covariances: tuple
    average: np.ndarray
    correction: np.ndarray
    known: np.ndarray | None = None
    step: np.ndarray | None = None
    change: np.ndarray | None = None

    @property
    def information(self):
        """The second derivatives without the correction."""
        return self.average if self.known is None else self.average + self.known

    @property
    def hessian(self):
        """The second derivatives, nearly."""
        return self.information + self.correction

    def sharpened(self, point):
        """With `known` of the point, whose second derivatives these are."""
        return self if self.known is not None else replace(self, known=point.known())

    def ahead(self, step):
        """The mean of the second derivatives along a step, if they change as they did
        along the step before: math.md (211).
        """
        if self.step is None:
            return self.hessian
        before, step = self.step / self.units, step / self.units
        part = np.clip((before @ step) / (before @ before), -1.0, 1.0)
        return self.hessian + part * self.change / 2


def secant(point, average, before=None, is_near=True):
    """The `Secant` of a point.

    Parameters
    ----------
    point : MixedPoint
    average : ndarray of shape (k, k)
        The average information there.
    before : Secant, default=None
        Of the point from which a step has led to this one.
    is_near : bool, default=True
        Whether that step was short, so that gradients at its ends tell second
        derivatives: math.md (187).
    """
    covariances = point.model.covariances
    found = Secant(
        x=point.x,
        gradient=point.gradient(),
        units=point.units,
        covariances=covariances,
        average=average,
        correction=np.zeros_like(average),
    )
    if before is None or before.covariances != covariances:
        return found
    step = found.x - before.x
    if not step.any():
        return found
    found = replace(found, step=step, change=average - before.average)
    if not is_near:
        return found
    found = found.sharpened(point)
    return replace(found, correction=_corrected(before, found))


def _corrected(before, found):
    """The correction that explains the gradients at both ends of a step."""
    correction, unit = before.correction, found.units
    mean = (found.information + before.information) / 2 + correction
    left = (found.gradient - before.gradient - mean @ found.step) * unit
    step = found.step / unit
    square = step @ step
    change = (np.outer(left, step) + np.outer(step, left)) / square
    change -= (left @ step) * np.outer(step, step) / square**2
    return correction + change / np.outer(unit, unit)
