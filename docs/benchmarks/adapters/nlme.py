"""lme of the R package nlme, with its defaults."""

from adapters.r_packages import r_adapter

PROGRAM = """
library(nlme)
fit <- function(d) {
  lme(mean_formula, d, random = ~ 1 | group, method = if (reml) "REML" else "ML")
}
estimates <- function(m) list(
  coef = fixef(m),
  log_variance = log(m$sigma^2),
  group_variance = getVarCov(m)[1, 1],
  log_likelihood = logLik(m)
)
"""
ADAPTER = r_adapter("nlme", "nlme", PROGRAM, methods=("reml", "ml"))
