# Profile-likelihood intervals of lme4, by maximum likelihood, to be compared with.
#   Rscript tests/stored/profile_intervals.R > tests/stored/profile_intervals.json
# `fine` is confint() of a profile on a grid four times as fine as the default one. Of
# Orthodont that grid breaks down (bad spline fits, sigma without an end), as its
# covariance is singular over a part of the profiles: there `rise` has lme4's own
# deviance at the ends that matter, minimised over the other components from several
# starts and counted from the optimum. It is 0.83 where the slopes have no variance, and
# so is no more at any correlation, whose interval is from -1 to 1.
suppressMessages({library(lme4); library(jsonlite)})

read <- function(name) {
  folder <- if (name == "sleepstudy") "skmixed/datasets/data" else "tests/worked"
  d <- read.csv(file.path(folder, paste0(name, ".csv")))
  if (!is.null(d$recipe)) d$recipe <- factor(d$recipe)
  d
}
formulas <- list(
  sleepstudy = Reaction ~ Days + (Days | Subject),
  Penicillin = diameter ~ 1 + (1 | plate) + (1 | sample),
  cake = angle ~ recipe + temp + (1 | recipe:replicate),
  Orthodont = distance ~ age * female + (age | Subject)
)
control <- lmerControl(
  optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 1e5)
)
rows <- function(ends) setNames(lapply(rownames(ends), function(r) unname(ends[r, ])), rownames(ends))
trace <- function(model, ...) suppressWarnings(rows(confint(profile(model, signames = FALSE, ...))))

rises <- function(model, held) {
  deviance <- lme4:::devfun2(model, useSc = TRUE, signames = FALSE)
  best <- attr(deviance, "optimum")[1:4]
  starts <- list(best, c(2, -0.5, 0.2, 1.3), c(1.5, 0, 0.1, 1.4), c(0.5, 0, 0.02, 1.5), c(3, -0.9, 0.3, 1.2))
  sapply(held, function(h) {
    inner <- function(free) {
      p <- append(free, h$value, h$position - 1)
      if (p[1] < 0 || abs(p[2]) > 1 || p[3] < 0 || p[4] <= 0) return(1e10)
      deviance(p)
    }
    found <- sapply(starts, function(start) {
      optim(start[-h$position], inner, control = list(reltol = 1e-13, maxit = 5000))$value
    })
    min(found) - attr(deviance, "basedev")
  })
}

models <- lapply(names(formulas), function(name) {
  lmer(formulas[[name]], read(name), REML = FALSE, control = control)
})
names(models) <- names(formulas)
fine <- lapply(models[1:3], trace, delta.cutoff = 1 / 32, devtol = 1e-6)
default <- lapply(models, trace)
held <- list(
  list(position = 4, value = 1.0970307960), list(position = 4, value = 1.5883880772),
  list(position = 1, value = 0.0012415250), list(position = 1, value = 4.1481782207),
  list(position = 3, value = 0), list(position = 3, value = 0.3385631966)
)
rise <- rises(models$Orthodont, held)
cat(toJSON(
  list(fine = fine, default = default, held = held, rise = rise),
  auto_unbox = TRUE, digits = 12, pretty = TRUE
), "\n")
