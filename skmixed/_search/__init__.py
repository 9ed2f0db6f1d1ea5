"""From a likelihood to its global optimum.

Comes in: a likelihood.  Goes out: the parameters at its best optimum.

ratio          the global search for the variance ratio of a random intercept
roots, newton  roots of a function of one variable; Newton's method
problem        parameters and bounds where each row has a variance
starts         where the search begins
row_variances  the search itself
"""
