"""Any fitted model, ours or foreign: out of its wrappers, fitted on folds, scored.

any_model   out of Pipeline and search, with its groups
folds       the work of one fold
comparison  the table of scores
"""
