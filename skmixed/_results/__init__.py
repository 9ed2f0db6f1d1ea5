"""From an optimum to results in the user's units.

Comes in: the optimum.  Goes out: attributes, degrees of freedom, intervals, tables.

fixed_groups, log_variance   effects of groups; coefficients of the log-variance
inference                    degrees of freedom, profile likelihood
summary, report              tables, and the figures in them
"""
