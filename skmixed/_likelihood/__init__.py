"""Value and derivatives of the likelihood at one point; no search.

Comes in: a `Gram` and a point.  Goes out: factor, value, derivatives, and the
distribution of coefficients, random effects and new rows.

factor, nested, crossed, iterative            the heart; the same for several factors
one_variance, condensed, size_classes         of a random intercept; in fewer figures
mixed, covariance, level_sums     the criterion of any terms; covariance and sums of one
held, mixed_noise, effects_of_rows            with a parameter held; with a log-variance
assembly, row_variances     the criterion with a variance for each row
residuals, visit, derivatives, arrow          its score and information
posterior, mixed_posterior, conditional, sampled    new rows of one factor, of any terms
integrated, mixture         new rows if the variances are uncertain
ratio_posterior, covariance_posterior         distributions of one variance, and of any
joint_gradient, normal                        a loss; one normal distribution
"""
