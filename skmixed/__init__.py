"""Predictive mixed models for grouped data, as scikit-learn estimators.

A fit goes through stages.  A stage is a package; it imports only from those above it,
and its docstring names its modules::

    user's arrays -> Data           _input       labels, features, weights, parameters
                  -> Moments, Gram  _rows        n rows become figures per group
                  -> likelihood     _likelihood  factor, value, derivatives at a point
                  -> optimum        _search      the best of all points
                  -> fit            _results     effects, intervals, tables for the user
    fit, predict  <-  random_intercept, heteroscedastic, ...   over _estimator
    any regressor as the mean  <-  mixed_effects               over _evaluation
    a model and its X, y, groups from a formula  <-  formula   over linear_mixed
    scores, tables, pictures of any fitted model, ours or foreign
                  <-  metrics, model_selection, inspection     over _evaluation
    summaries, tests of hypotheses  <-  inference              over _results
    warnings of a fit  <-  `_messages` of the estimator's module; texts that several
                  modules need: _input/messages.py

Rows are read once.  Where each row has a variance of its own the Gram depends on it,
and every step of the search visits the rows again (`_rows.grouped`).

The same words everywhere:

    rows     the observations, as numbers
    block    rows that fit the cache, worked on at a time
    part     the rows of one worker, or of one partition of a Dask collection
    group    all rows with the same label
    level    a label of a grouping factor, with its random effects
    cell     all rows with the same labels of all factors
    piece    the rows of one level within a block
    term     a grouping factor with all its effects: columns Z, covariance, parameters.
             Several brackets of a formula (`RandomEffects`) may join to one term
    sweep    to take columns out of rows, level by level (modified Gram-Schmidt)
    Gram     the rows as the likelihood needs them: a triangular block per group
    factor   the block-Cholesky factor of the Gram at one point (or: a grouping factor)
    link     the block of the Gram of a level and an effect of a crossing factor
    point    values of all parameters of the covariance
    noise    constant, or modelled: its log-variance depends on features of the row
    told     determined by the data, as a variance may be or not
    loading  the change of a conditional mode by errors of the coefficients
    optimum  the point at which the criterion is best

docs/math.md derives the formulas in the names that the code uses, and a function names
the equation that it computes.  docs/design.md gives the reasons and a table of where
things are, docs/contributing.md one of where changes go; docs/groups.md says which door
for groups goes with which tool of scikit-learn.
"""

from ._input.labels import GroupsWarning, PopulationPredictionWarning
from ._input.notation import RandomEffects
from .heteroscedastic import HeteroscedasticGaussianRegressor
from .linear_mixed import LinearMixedRegressor
from .mixed_effects import MixedEffectsRegressor
from .random_intercept import RandomInterceptRegressor

__all__ = [
    "GroupsWarning",
    "HeteroscedasticGaussianRegressor",
    "LinearMixedRegressor",
    "MixedEffectsRegressor",
    "PopulationPredictionWarning",
    "RandomEffects",
    "RandomInterceptRegressor",
]
__version__ = "0.1.0.dev0"
