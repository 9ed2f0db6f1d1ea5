"""The fit with a noise variance for every row, in the user's terms (docs/math.md, 9.9).

Comes in: a problem and its optimum.  Goes out: the frozen fit.

fit                 the fit and its figures
fixed_groups        fixed effects of groups
integrated          distributions of new rows that count the variances as uncertain
"""
