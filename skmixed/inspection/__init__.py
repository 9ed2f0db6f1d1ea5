"""Intervals and pictures of any fitted model: its groups, and whether its predictive
distribution keeps its promises.

Models may be inside a Pipeline or a search.  Pictures are in the form of scikit-learn's
displays and need matplotlib, the extra `plots`.

_interval           intervals of new observations
_display            the form of all pictures, and the models and rows they are drawn of
_random_effects, _correlation   effects with intervals (caterpillars); pairs of effects
_effects, _lines    predictions along a feature, group by group; lines of groups
_residuals, _calibration, _profile   pictures of these
"""

from ._calibration import PredictiveCalibrationDisplay
from ._correlation import EffectsCorrelationDisplay
from ._effects import GroupEffectsDisplay
from ._interval import predict_interval
from ._lines import GroupLinesDisplay
from ._profile import LikelihoodProfileDisplay
from ._random_effects import RandomEffectsDisplay, RandomInterceptsDisplay
from ._residuals import ResidualScaleDisplay, ResidualsDisplay

__all__ = [
    "EffectsCorrelationDisplay",
    "GroupEffectsDisplay",
    "GroupLinesDisplay",
    "LikelihoodProfileDisplay",
    "PredictiveCalibrationDisplay",
    "RandomEffectsDisplay",
    "RandomInterceptsDisplay",
    "ResidualScaleDisplay",
    "ResidualsDisplay",
    "predict_interval",
]
