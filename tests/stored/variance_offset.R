# Reference figures of tests/estimators/test_variance_offset.py: sleepstudy with a noise
# variance that is proportional to 1 + Days.
#     Rscript tests/stored/variance_offset.R
suppressMessages({library(lme4); library(nlme)})
data(sleepstudy, package = "lme4")
sleepstudy$v <- 1 + sleepstudy$Days
options(digits = 12)
for (reml in c(TRUE, FALSE)) {
  fit <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy, weights = 1 / v, REML = reml,
              control = lmerControl(optCtrl = list(ftol_abs = 1e-14, xtol_abs = 1e-12)))
  cat("lme4", reml, fixef(fit), sqrt(diag(as.matrix(vcov(fit)))),
      as.data.frame(VarCorr(fit))$vcov, as.numeric(logLik(fit)), "\n")
  fit <- lme(Reaction ~ Days, random = ~ 1 | Subject, data = sleepstudy,
             weights = varFixed(~ v), method = if (reml) "REML" else "ML",
             control = lmeControl(tolerance = 1e-12, msTol = 1e-12))
  cat("nlme", reml, fixef(fit), sqrt(diag(vcov(fit))),
      as.numeric(VarCorr(fit)[, 1]), as.numeric(logLik(fit)), "\n")
}
