# REML fits of lme4 to columns of which others determine some: lme4 drops columns and
# keeps the first independent ones.  The data are in dependent.json itself.
#
# Rscript dependent.R >dependent.json
library(lme4)
library(jsonlite)

set.seed(1)
n <- 90
group <- rep(1:9, each = 10)
kind <- sample(c("a", "b", "c"), n, replace = TRUE)
site <- c("s", "t", "u")[(group - 1) %% 3 + 1]
x <- round(rnorm(n), 3)
y <- round(2 * (kind == "b") - (kind == "c") + (site == "t") + x + rnorm(9)[group] +
           rnorm(n), 3)
columns <- data.frame(x, x1000 = 1000 * x, again = x,
                      kind_a = 1 * (kind == "a"), kind_b = 1 * (kind == "b"),
                      kind_c = 1 * (kind == "c"), site_s = 1 * (site == "s"),
                      site_t = 1 * (site == "t"), site_u = 1 * (site == "u"),
                      zero = 0, sum = x + (kind == "b"))
data <- cbind(columns, y, group)
sets <- list(
  full = c("x", "kind_b", "kind_c", "site_t", "site_u"),
  onehot = c("kind_a", "kind_b", "kind_c", "x", "site_s", "site_t", "site_u"),
  scaled = c("x", "x1000", "kind_b", "kind_c"),
  scaled_first = c("x1000", "x", "kind_b", "kind_c"),
  duplicate = c("x", "kind_b", "again", "kind_c"),
  zero = c("x", "zero", "kind_b"),
  sum_first = c("sum", "x", "kind_b", "kind_a")
)
loglik <- function(names, intercept) {
  formula <- reformulate(c(names, "(1 | group)"), "y", intercept)
  fit <- suppressMessages(lmer(formula, data,
    control = lmerControl(optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-14))))
  as.numeric(logLik(fit))
}
result <- list(lme4 = as.character(packageVersion("lme4")), data = data, sets = sets,
               intercept = lapply(sets, loglik, TRUE),
               none = lapply(sets, loglik, FALSE))
cat(toJSON(result, digits = 12, auto_unbox = TRUE, dataframe = "columns"), "\n")
