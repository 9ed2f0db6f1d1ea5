# The fits of glmmTMB and nlme for modelled_noise.py.
suppressMessages({library(glmmTMB); library(nlme)})
arguments <- commandArgs(TRUE)
folder <- arguments[2]

read <- function(path) {
  d <- read.csv(path)
  for (name in c("g", "h", "p")) d[[name]] <- factor(d[[name]])
  d
}

one_glmmTMB <- function(formula, dispersion, d, reml) {
  m <- suppressWarnings(glmmTMB(formula, d, dispformula = dispersion, REML = reml))
  c(loglik = -m$fit$objective,
    converged = m$fit$convergence == 0 && isTRUE(m$sdr$pdHess))
}

if (arguments[1] == "speed") {
  d <- read(file.path(folder, "crossed.csv"))
  formula <- y ~ x0 + x1 + x2 + (1 | g) + (1 | h)
  small <- d[1:500, ]
  invisible(one_glmmTMB(formula, ~ x0 + x1 + x2, small, TRUE))
  seconds <- system.time(m <- one_glmmTMB(formula, ~ x0 + x1 + x2, d, TRUE))
  cpu <- seconds[["user.self"]] + seconds[["sys.self"]]
  cat(sprintf("%.3f %.3f %.10f\n", seconds[["elapsed"]], cpu, m[["loglik"]]))
  quit()
}

rows <- list()
add <- function(problem, peer, found) {
  if (inherits(found, "try-error")) found <- c(loglik = NA, converged = 0)
  rows[[length(rows) + 1]] <<- data.frame(
    problem = problem, peer = peer, loglik = sprintf("%.12g", found[["loglik"]]),
    converged = as.logical(found[["converged"]]))
}
attempt <- function(call) try(suppressWarnings(call), silent = TRUE)

for (k in seq_len(as.integer(arguments[3])) - 1) {
  d <- read(file.path(folder, paste0(k, ".csv")))
  about <- readLines(file.path(folder, paste0(k, ".txt")), warn = FALSE)
  reml <- about[3] == "reml"
  formula <- as.formula(paste("y ~ x0 + x1 +", about[1]))
  dispersion <- as.formula(paste("~", about[2]))
  if (grepl("||", about[1], fixed = TRUE)) formula <- y ~ x0 + x1 + diag(x0 | g)
  add(k, "glmmTMB", attempt(one_glmmTMB(formula, dispersion, d, reml)))
  random <- c("(x0 | g)" = ~ x0 | g, "(x0 + x1 | g)" = ~ x0 + x1 | g)[[about[1]]]
  if (!is.null(random)) {
    some <- lapply(strsplit(about[2], " + ", fixed = TRUE)[[1]],
                   function(x) varExp(form = as.formula(paste("~", x))))
    weights <- if (length(some) == 1) some[[1]] else do.call(varComb, some)
    add(k, "nlme", attempt({
      m <- lme(y ~ x0 + x1, d, random = random, weights = weights,
               method = if (reml) "REML" else "ML",
               control = lmeControl(maxIter = 200, msMaxIter = 200))
      c(loglik = as.numeric(logLik(m)), converged = TRUE)
    }))
  }
  write.csv(do.call(rbind, rows), file.path(folder, "peers.csv"), row.names = FALSE)
}
