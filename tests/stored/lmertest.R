# Make lmertest.json: tests of hypotheses by lmerTest, which tests/evaluation/
# test_inference.py compares with those of skmixed.inference.
#
#     Rscript lmertest.R >lmertest.json    (in this folder)

suppressMessages({library(lmerTest); library(jsonlite)})
data <- file.path("..", "..", "skmixed", "datasets", "data")
read <- function(name) read.csv(file.path(data, paste0(name, ".csv")))
# The default stops where the deviance changes by 1e-8 relative.
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9),
                       check.conv.singular = "ignore")
fit <- function(formula, d, REML) lmer(formula, d, REML = REML, control = control)

ratio <- function(smaller, larger) {
  table <- anova(smaller, larger, refit = FALSE)
  list(statistic = table$Chisq[2], df = table$Df[2], p = table$`Pr(>Chisq)`[2])
}
combine <- function(model, L) {
  each <- contest(model, L, joint = FALSE)
  joint <- contest(model, L)
  list(L = L, coef = each$Estimate, std = each$`Std. Error`, t = each$`t value`,
       df = each$df, p = each$`Pr(>|t|)`, low = each$lower, high = each$upper,
       F = joint$`F value`, numerator = joint$NumDF, denominator = joint$DenDF,
       p_joint = joint$`Pr(>F)`)
}
analyse <- function(name, smaller, larger, group, contrasts) {
  d <- read(name)
  for (column in group) d[[column]] <- factor(d[[column]])
  both <- lapply(c(smaller, larger), fit, d = d, REML = FALSE)
  model <- fit(larger, d, TRUE)
  random <- ranova(model)
  terms <- anova(model)
  list(mean = ratio(both[[1]], both[[2]]),
       variance = list(statistic = random$LRT[2], p = random$`Pr(>Chisq)`[2] / 2),
       contrasts = lapply(contrasts, combine, model = model),
       terms = list(names = rownames(terms), F = terms$`F value`,
                    denominator = terms$DenDF, p = terms$`Pr(>F)`))
}

found <- list(
  versions = list(lmerTest = as.character(packageVersion("lmerTest")),
                  lme4 = as.character(packageVersion("lme4"))),
  sleepstudy = analyse("sleepstudy", Reaction ~ 1 + (1 | Subject),
                       Reaction ~ Days + (1 | Subject), "Subject",
                       list(rbind(c(1, 4.5)), rbind(c(1, 0), c(1, 9)))),
  machines = analyse("machines", score ~ 1 + (1 | Worker),
                     score ~ Mach_B + Mach_C + (1 | Worker), "Worker",
                     list(rbind(c(0, -1, 1)), rbind(c(0, 1, 0), c(0, 0, 1)),
                          rbind(c(0, 1, 0), c(0, 0, 1), c(0, -1, 1)))),
  hsb82 = analyse("hsb82", mAch ~ cses + minority + female + (1 | school),
                  mAch ~ cses + minority + female + meanses + catholic + (1 | school),
                  "school",
                  list(rbind(c(0, 1, 0, 0, -1, 0)),
                       rbind(c(0, 0, 1, 0, 0, 0), c(0, 0, 0, 0, 1, 0),
                             c(1, 0, 0, 0, 0, 0.5)))))
cat(toJSON(found, digits = I(17), auto_unbox = TRUE, pretty = TRUE), "\n")
