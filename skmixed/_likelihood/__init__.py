"""Value and derivatives of the likelihood at one point; no search.

Comes in: a `Gram`, variances.  Goes out: the factor, the criterion, its score and
information, and the posterior of coefficients and random effects.

factor         the block-Cholesky factor: the heart
one_variance   the random-intercept criterion with a profiled noise variance
row_variances  the criterion with a variance for each row
residuals, visit, derivatives   its score and information
posterior      the predictive distribution of new rows
normal, arrow  closed forms; arrow-shaped linear systems
"""
