# Log-likelihoods of the problems of mixed_optima.py by lme4, glmmTMB and nlme.
suppressMessages({library(lme4); library(glmmTMB); library(nlme)})
arguments <- commandArgs(TRUE)
folder <- arguments[1]
n_problems <- as.integer(arguments[2])

value <- function(fit) {
  model <- tryCatch(suppressMessages(suppressWarnings(fit())), error = function(e) NULL)
  if (is.null(model)) NA else as.numeric(logLik(model))
}

out <- NULL
for (k in seq_len(n_problems) - 1) {
  d <- read.csv(file.path(folder, sprintf("%d.csv", k)), stringsAsFactors = TRUE)
  terms <- readLines(file.path(folder, sprintf("%d.txt", k)), warn = FALSE)
  f <- as.formula(paste("y ~ x0 + x1 +", terms))
  tmb <- if (grepl("||", terms, fixed = TRUE)) y ~ x0 + x1 + diag(x0 | g) else f
  for (method in c("reml", "ml")) {
    reml <- method == "reml"
    row <- data.frame(problem = k, method = method)
    for (optimizer in c("bobyqa", "Nelder_Mead", "nloptwrap", "nlminbwrap"))
      row[[optimizer]] <- value(function() lmer(f, d, REML = reml, control = lmerControl(
        optimizer = optimizer, calc.derivs = FALSE, check.nobs.vs.nRE = "ignore")))
    row$glmmTMB <- value(function() glmmTMB(tmb, d, REML = reml))
    one <- terms %in% c("(x0 | g)", "(x0 + x1 | g)")
    random <- as.formula(paste("~", gsub("[()]", "", terms)))
    row$nlme <- if (one) value(function() lme(
      y ~ x0 + x1, d, random = random, method = toupper(method))) else NA
    out <- rbind(out, row)
  }
}
write.csv(out, file.path(folder, "peers.csv"), row.names = FALSE)
