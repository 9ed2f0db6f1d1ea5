"""The R package glmmTMB, with its defaults; `dispformula` is its log-variance."""

from adapters.r_packages import r_adapter

# The dispersion of a Gaussian is a log-variance up to version 1.1.8, then the logarithm
# of a standard deviation.
PROGRAM = """
suppressMessages(library(glmmTMB))
scale <- if (packageVersion("glmmTMB") < "1.1.9") 1 else 2
fit <- function(d) glmmTMB(
  if (grouped) mixed_formula else mean_formula,
  d, dispformula = variance_formula, REML = reml
)
estimates <- function(m) list(
  coef = fixef(m)$cond,
  log_variance = scale * fixef(m)$disp,
  group_variance = if (grouped) VarCorr(m)$cond[[1]][1] else 0,
  log_likelihood = logLik(m)
)
"""
ADAPTER = r_adapter("glmmTMB", "glmmTMB", PROGRAM, methods=("reml", "ml"))
