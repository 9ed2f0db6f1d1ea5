"""From an optimum to results in the user's units.

Comes in: the optimum.  Goes out: one frozen fit, from which all attributes, predictions
and tables come.

fit, state                  the frozen fit; the same as plain arrays, for pickles
random_intercept, mixed_fit     the fit of a random intercept, of any terms
heteroscedastic, log_variance   a package: one factor, modelled noise; coefficients
mixed_posterior, mixed_integrated    new rows of any terms, the variances given or not
modelled_noise, iterative_fit   any terms beside it; the error of an iterative solver
inference, mixed_inference, estimated_weights    degrees of freedom, standard errors
profile, mixed_profile, hypotheses            profile-likelihood intervals, tests
one_factor_summary, mixed_summary    the summary of a fit: of one factor, of any terms
summary                     its tables and how they print
group_messages, factor_facts    sentences about groups, and about pairs of factors
"""
