"""From an optimum to results in the user's units.

Comes in: the optimum.  Goes out: one frozen fit, from which all attributes, predictions
and tables come.

fit, state                  the frozen fit; the same as plain arrays, for pickles
one_variance, row_variances, linear_mixed     the fit of each kind of model
fixed_groups, log_variance  effects of groups, coefficients of the log-variance
inference, mixed_inference  degrees of freedom, standard errors of variances
profile, hypotheses         profile-likelihood intervals; tests between fits
report, summary             the figures of a summary, and its tables
"""
