"""From a likelihood to its global optimum.

Comes in: a likelihood.  Goes out: the point at which it is best.

ratio, roots        the variance ratio of a random intercept; roots of one variable
covariances, mixed  covariances of any terms; the whole fit of a linear mixed model
iterative           covariances without the likelihood's value
secant              second derivatives corrected by gradients
mixed_noise         covariances and a log-variance together
problem             parameters and bounds of a model with a variance for each row
starts, row_variances       the starts of its search, and the search
trust_region                Newton's method, which knows no statistics
"""
