"""Any fitted model, ours or foreign: out of its wrappers, fitted on folds, scored.

Comes in: a model, and rows with labels.  Goes out: predictions for known and new
groups, and scores.

any_model           out of Pipeline and search, with its groups
deal, folds, comparison     rows dealt to folds; one fold; the table of scores
limits              rows that a regressor is not fitted to
cross_fit           predictions of rows that a regressor has not seen
calibration         the random-intercept model of such predictions
split_rows          new rows, each by the model that answers it
"""
