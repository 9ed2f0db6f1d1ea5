"""Value and derivatives of the likelihood at one point; no search.

Comes in: a `Gram`, a point.  Goes out: factor, derivatives, distributions of new rows.

criterion           any model: deviance with the REML term, profiled noise variance
factor, nested, crossed, around, iterative, by_rows   roots of mixed-model equations
random_intercept, condensed, size_classes          random intercepts; in fewer figures
mixed, covariance, level_sums, held   any terms: value, gradient, Hessian; one held
modelled_noise, effects_of_rows       any terms beside modelled noise; what it needs
heteroscedastic, arrow      a package: one factor, modelled noise; its linear systems
posterior, mixed_posterior  coefficients, effects, new rows and draws
conditional, sampled_conditional    the covariance of effects, exact or by draws
integrated, mixture, ratio_posterior, covariance_posterior     uncertain variances
row_maps, node_densities, noise_densities    rows, densities, at many nodes at once
normal, joint_gradient      one distribution; the likelihood as a loss
"""
