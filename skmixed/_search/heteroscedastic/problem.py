"""A heteroscedastic likelihood as a problem to search: bounds, and the way back to the
user's units (docs/math.md, 9.1 and 9.10).
"""

from dataclasses import dataclass, replace

import numpy as np

from ..._likelihood.criterion import RANGE
from ..._likelihood.heteroscedastic.assembly import Structure, assemble
from ..._likelihood.heteroscedastic.criterion import Heteroscedastic, gram_at
from ..._likelihood.heteroscedastic.derivatives import tells_psi
from ..._rows.columns import Columns, noise_floor
from ..._rows.grouped import Trend
from .starts import Constant, best_constant


@dataclass(frozen=True)
class Problem:
    """A likelihood, and the way back to the user's units.

    Attributes
    ----------
    model : Heteroscedastic
    structure : Structure
    mean_columns, variance_columns : Columns
        From the user's columns of the mean and the log-variance to working columns.
    mean_moments, variance_moments : Moments
        Of the user's columns, and y.
    constant : Constant
        The best constant noise variance.
    floor : float
        The least noise variance that is not rounding.
    """

    model: Heteroscedastic
    structure: Structure
    mean_columns: Columns
    variance_columns: Columns
    mean_moments: object
    variance_moments: object
    constant: Constant
    floor: float

    @property
    def rank(self):
        """Number of coefficients of the mean, fixed effects of groups included."""
        return self.mean_columns.rank + self.model.rows.n_groups * self.structure.fixed


def make_problem(sample, structure):
    """The likelihood of a sample, its best constant variance, and bounds about that."""
    model, columns, moments = assemble(sample, structure)
    has_constant = structure.fixed or columns[0].has_constant
    floor = noise_floor(moments[0], has_constant) * np.exp(-model.average_offset)
    gram = columns[0].gram(moments[0])
    if structure.offset is not None:
        gram = gram_at(model, Trend(np.zeros(columns[1].rank)))
    constant = best_constant(model, gram, floor)
    # With a level the log-variance goes up and down with the units of y.
    free_effects = len(model.free) > 0 and not model.effect_penalty
    around_one = not (columns[1].has_constant or free_effects)
    random = structure.random and (constant.identified or tells_psi(model))
    model = replace(model, log_bounds=log_bounds(constant, around_one), random=random)
    return Problem(model, structure, *columns, *moments, constant, floor)


def log_bounds(constant, around_one):
    """Least and largest log-variance of a row.

    Without an intercept the log-variance may be about 0, wherever y is.
    """
    typical = constant.noise_variance, 1.0 if around_one else constant.noise_variance
    return np.log(min(typical) / RANGE), np.log(RANGE * max(typical))
