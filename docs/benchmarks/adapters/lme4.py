"""lmer of the R package lme4, with its defaults."""

from adapters.r_packages import r_adapter

PROGRAM = """
suppressMessages(library(lme4))
fit <- function(d) lmer(mixed_formula, d, REML = reml)
estimates <- function(m) list(
  coef = fixef(m),
  log_variance = log(sigma(m)^2),
  group_variance = VarCorr(m)$group[1],
  log_likelihood = logLik(m)
)
"""
ADAPTER = r_adapter("lme4", "lme4", PROGRAM, methods=("reml", "ml"))
