"""Predictive models for grouped data, as scikit-learn estimators.

How a fit flows through the package, one module per arrow::

    user's arrays -> Data       _input, _groups    labels, features, weights
                  -> Moments    _preparation       n rows become figures per group
                                _gram, _blocks
                                _statistics        and batches of rows join,
                                _partitions        or those that workers hold
                  -> Columns    _design            working columns and back
                  -> Gram       _gram              the same figures in blocks
                  -> factor     _block_cholesky    at one value of the variances
                  -> criterion  _criterion         its value and slope
                  -> optimum    _optimize          roots of a function of one variable
                  -> Posterior  _posterior         what is known about a new row
    predict, ...  <-            _base              what both estimators share
                                _normal            closed forms of the predictions
    summary, ...  <-            _inference         degrees of freedom, profiles
                                _report, _summary  tables, and what they look like

With a variance for each row the way from Columns to the optimum is a loop::

    Columns       -> Rows       _rows, _parts      in group order, kept
                  -> likelihood _problem           parameters and their bounds
                  -> start      _starts            several, by the search above
       +--------> -> Gram       _rows, _gram       weighted by the variances
       |          -> value      _heteroscedastic_criterion, _block_cholesky
       |          -> sums       _residuals, _visit  one visit to the rows
       +--------- <- step       _information, _arrow, _search
                  -> optimum    _log_variance, _fixed_groups    in the user's terms

What any model, ours or foreign, is worth, with its groups at hand wherever it sits::

    fitted model  -> model, X   _any_model         out of Pipeline and search
                  -> scores     metrics            losses, and scorers for scikit-learn
    user's arrays -> folds      _folds             each fitted and scored by itself
                  -> table      model_selection    known groups and new ones
                                _comparison
                  -> pictures   inspection         calibration, random intercepts, ...

docs/math.md derives the formulas in the names that the code uses; docs/design.md gives
the reasons, docs/groups.md says which door for groups goes with which tool.
"""

from ._input.labels import GroupsWarning
from .heteroscedastic import HeteroscedasticGaussianRegressor
from .random_intercept import RandomInterceptRegressor

__all__ = [
    "GroupsWarning",
    "HeteroscedasticGaussianRegressor",
    "RandomInterceptRegressor",
]
__version__ = "0.1.0.dev0"
