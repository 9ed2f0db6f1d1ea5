# F tests of contrasts by Satterthwaite's method, to be compared with.
#   Rscript tests/stored/contest.R > tests/stored/contest.json
suppressMessages({library(lme4); library(lmerTest); library(jsonlite)})
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10))
test <- function(fit, L) {
  found <- contest(fit, L, joint = TRUE)
  list(statistic = found[["F value"]], numerator = found[["NumDF"]],
       denominator = found[["DenDF"]], p = found[["Pr(>F)"]])
}
machines <- read.csv("skmixed/datasets/data/machines.csv")
names(machines) <- tolower(names(machines))
sleep <- read.csv("skmixed/datasets/data/sleepstudy.csv")
names(sleep) <- tolower(names(sleep))
one <- lmer(score ~ mach_b + mach_c + (1 | worker), machines, control = control)
slopes <- lmer(score ~ mach_b + mach_c + (mach_b + mach_c | worker), machines, control = control)
days <- lmer(reaction ~ days + (days | subject), sleep, control = control)
both <- rbind(c(0, 1, 0), c(0, 0, 1))
cat(toJSON(list(
  machines_levels = test(one, both),
  machines_slopes = test(slopes, both),
  machines_redundant = test(slopes, rbind(both, c(0, 1, -1))),
  sleepstudy_both = test(days, diag(2))
), auto_unbox = TRUE, digits = 10, pretty = TRUE))
