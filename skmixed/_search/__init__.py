"""From a likelihood to its global optimum.

Comes in: a likelihood.  Goes out: the point at which it is best.

ratio, roots        random intercepts: the variance ratio by a scan, without starts
covariances, mixed  any terms: starts and search; the whole fit of a linear mixed model
descent, race       Newton's method in the covariances; searches that take turns
iterative, secant   any terms without the likelihood's value; corrected Hessians
modelled_noise      any terms beside modelled noise, with starts of its own
heteroscedastic     a package: one factor beside modelled noise
trust_region        Newton's method, which knows no statistics
"""
