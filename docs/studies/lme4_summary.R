# lme4's summary of the model of docs/uncertainty.md.
#
#     Rscript docs/studies/lme4_summary.R

suppressMessages(library(lme4))
model <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy)
print(summary(model), correlation = FALSE)
cat("lme4", as.character(packageVersion("lme4")), "\n")
cat("AIC", AIC(model), "BIC", BIC(model), "\n")
