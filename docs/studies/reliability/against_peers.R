# Fits the sets of against_peers.py and prints what was found, a line each:
#
#   set method package group_variance log_variance [slopes of the log-variance]
#
# or only the first three where a fit fails.

suppressMessages(packages <- Filter(
  function(p) require(p, character.only = TRUE, quietly = TRUE),
  c("lme4", "nlme", "glmmTMB")
))
folder <- commandArgs(trailingOnly = TRUE)[1]

# The dispersion of a Gaussian is a log-variance up to version 1.1.8, then the logarithm
# of a standard deviation.
scale <- if ("glmmTMB" %in% packages && packageVersion("glmmTMB") < "1.1.9") 1 else 2

fit_lme4 <- function(d, f, g, reml) {
  m <- lme4::lmer(update(f, . ~ . + (1 | group)), d, REML = reml)
  c(lme4::VarCorr(m)$group[1], 2 * log(sigma(m)))
}

fit_nlme <- function(d, f, g, reml) {
  forms <- lapply(g, function(x) nlme::varExp(form = reformulate(x)))
  weights <- if (length(g)) do.call(nlme::varComb, forms)
  m <- nlme::lme(
    f, d, random = ~ 1 | group, weights = weights, method = if (reml) "REML" else "ML"
  )
  slopes <- if (length(g)) 2 * unlist(coef(m$modelStruct$varStruct, unconstrained = FALSE))
  c(nlme::getVarCov(m)[1, 1], 2 * log(m$sigma), slopes)
}

fit_glmmTMB <- function(d, f, g, reml) {
  m <- glmmTMB::glmmTMB(
    update(f, . ~ . + (1 | group)), d,
    dispformula = if (length(g)) reformulate(g) else ~1, REML = reml
  )
  slopes <- glmmTMB::fixef(m)$disp
  # Without slopes it is always log sigma^2 that sigma() gives.
  if (!length(g)) slopes <- 2 * log(sigma(m)) else slopes <- scale * slopes
  c(glmmTMB::VarCorr(m)$cond$group[1], slopes)
}

for (file in list.files(folder, full.names = TRUE)) {
  d <- read.csv(file)
  name <- strsplit(sub(".csv", "", basename(file)), "_")[[1]]
  q <- as.integer(name[2])
  p <- ncol(d) - 2
  d$group <- factor(d$group)
  f <- reformulate(paste0("x", seq_len(p)), "y")
  g <- if (q) paste0("x", seq_len(q)) else character()
  for (package in packages) {
    if (q && package == "lme4") next
    for (method in c("reml", "ml")) {
      fit <- get(paste0("fit_", package))
      found <- suppressMessages(suppressWarnings(
        try(fit(d, f, g, method == "reml"), silent = TRUE)
      ))
      if (inherits(found, "try-error")) found <- numeric()
      cat(name[1], method, package, sprintf("%.17g", found), "\n")
    }
  }
}
