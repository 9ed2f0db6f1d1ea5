"""The family gaulss of the R package mgcv: linear mean and log standard deviation."""

from adapters.r_packages import r_adapter

PROGRAM = """
suppressMessages(library(mgcv))
fit <- function(d) gam(list(mean_formula, variance_formula), gaulss(b = 0), d)
estimates <- function(m) list(
  coef = coef(m)[1:(p + 1)],
  log_variance = 2 * coef(m)[-(1:(p + 1))],
  group_variance = 0,
  log_likelihood = logLik(m)
)
"""
ADAPTER = r_adapter("mgcv, gaulss", "mgcv", PROGRAM, methods=("ml",))
