"""Rows to predict: known groups by one calibrator, all others by another."""

from dataclasses import dataclass
from operator import methodcaller

import numpy as np

from .._estimator import NewRows, fit_of, new_rows
from .._input.any_table import take_rows
from .._input.messages import count
from .._input.table import Data


@dataclass(frozen=True)
class PartToPredict:
    """Rows that one of the two models predicts, as it reads them.

    Attributes
    ----------
    name : {"known", "new"}
        Whether their groups are known, which decides the model that predicts them.
    rows : ndarray
        Their positions among all rows.
    new : NewRows
    offset : ndarray
        The part of each prediction that has a slope of its own.
    """

    name: str
    rows: np.ndarray
    new: NewRows
    offset: np.ndarray


@dataclass(frozen=True)
class SplitRows:
    """Rows to predict, those of known groups by one model and all others by another.

    It answers as `NewRows` does.  Rows of different parts are independent.

    Attributes
    ----------
    data : Data
    codes : ndarray of shape (n,)
        Position of the row's group among those of the fit; -1 for a new group.
    parts : tuple of PartToPredict
    """

    data: Data
    codes: np.ndarray
    parts: tuple

    @property
    def noise_variance(self):
        """Variance of each row's noise, (n,), a new array."""
        return self._collect(lambda part: part.new.noise_variance)

    def mean(self):
        """Expected y of each row, (n,)."""
        return self._collect(lambda part: part.new.mean() + part.offset)

    def mean_std(self):
        """Standard deviation of the expected y of each row, (n,)."""
        return self._collect(lambda part: part.new.mean_std())

    def std(self):
        """Standard deviation of a new y in each row, (n,)."""
        return self._collect(lambda part: part.new.std())

    def freedom(self):
        """Degrees of freedom of the variance of a new y in each row, (n,)."""
        return self._collect(lambda part: part.new.freedom())

    def added_variance(self):
        """Variance of each row's prediction since its weights are estimated, (n,)."""
        return self._collect(lambda part: part.new.added_variance())

    def covariance(self):
        """Joint covariance of new observations, (n, n)."""
        n = len(self.codes)
        covariance = np.zeros((n, n))
        for part in self.parts:
            covariance[np.ix_(part.rows, part.rows)] = part.new.covariance()
        return covariance

    def sample(self, n_samples, random_state):
        """Draws of new observations, (n, n_samples)."""
        draw = methodcaller("sample", n_samples, random_state)
        return self._collect_moved(draw, n_samples)

    def log_density(self, y):
        """Joint log-density of observations."""
        return sum(
            part.new.log_density(y[part.rows] - part.offset) for part in self.parts
        )

    def integrated_interval(self, coverage):
        """Intervals (n, 2) of the distribution that is integrated over variances."""
        return self._collect_moved(methodcaller("integrated_interval", coverage), 2)

    def integrated_sample(self, n_samples, random_state):
        """Draws of new observations from that distribution, (n, n_samples)."""
        draw = methodcaller("integrated_sample", n_samples, random_state)
        return self._collect_moved(draw, n_samples)

    def integrated_log_density(self, y):
        """Joint log-density of observations under that distribution."""
        return sum(
            part.new.integrated_log_density(y[part.rows] - part.offset)
            for part in self.parts
        )

    @property
    def offers_integrated(self):
        """Whether there is a distribution that is integrated over variances."""
        return all(part.new.offers_integrated for part in self.parts)

    def integrated_row_density(self, y):
        """Log-density of each observation under that distribution, (n,)."""

        def density(part):
            return part.new.integrated_row_density(y[part.rows] - part.offset)

        return self._collect(density)

    def average_interval(self, weight, coverage, distribution):
        """Intervals (m, 2) of sums of the new observations, whose weights are the rows
        of `weight`.
        """
        if len(self.parts) > 1:
            known = self.parts[0].rows
            raise ValueError(
                f"The sums are over {count(len(known), 'row')} of known groups and "
                f"{len(self.codes) - len(known)} of new ones, which are predicted by "
                "different models. Ask for each kind by itself."
            )
        (part,) = self.parts
        interval = part.new.average_interval(weight, coverage, distribution)
        return interval + (weight @ part.offset)[:, None]

    def _collect_moved(self, figures, n):
        """Several figures of every row in units of y, (n_rows, n), from a function of
        the rows of a part, whose predictions are still to be moved by the offset.
        """
        return self._collect(lambda part: figures(part.new) + part.offset[:, None], n)

    def _collect(self, figure, *shape):
        """A figure of every row, (n, *shape), from those of the parts."""
        values = np.empty((len(self.codes), *shape))
        for part in self.parts:
            values[part.rows] = figure(part)
        return values


def split_rows(rows, codes, known, new):
    """`SplitRows` of `AnyRows`.

    Parameters
    ----------
    rows : AnyRows
    codes : ndarray of shape (n,)
        Position of the row's group among those of the fit; -1 for a new group.
    known, new : Calibrated
        The predictors of rows of known groups, and of all others.
    """
    kinds = ("known", known, codes >= 0), ("new", new, codes < 0)
    parts = [
        _part(name, rows, codes, calibrated, np.flatnonzero(mask))
        for name, calibrated, mask in kinds
        if mask.any()
    ]
    return SplitRows(rows.data, codes, tuple(parts))


def _part(name, rows, codes, calibrated, positions):
    """Rows at these positions as a calibrator reads them."""
    data = rows.data
    table, X = take_rows(rows.table, positions), data.X[positions]
    features, offset = calibrated.features(table, X, codes[positions])
    index = None if data.index is None else data.index.take(positions)
    part = Data(features, np.arange(features.shape[1]), index)
    return PartToPredict(
        name, positions, new_rows(fit_of(calibrated.model), part), offset
    )
