# Log-likelihoods of the models that docs/coming_from_r.md has side by side, by lme4,
# nlme and glmmTMB:
#   Rscript docs/studies/twenty_models.R
suppressMessages({library(nlme); library(lme4); library(glmmTMB)})
worked <- function(name) read.csv(file.path("tests/worked", paste0(name, ".csv")))
show <- function(number, ...) {
  values <- sapply(list(...), function(m) as.numeric(logLik(m)))
  cat(sprintf("%2d", number), sprintf("%.3f", values), "\n")
}
s <- read.csv("skmixed/datasets/data/sleepstudy.csv")
s$Subject <- factor(s$Subject)
both <- function(number, f) show(number, lmer(f, s), glmmTMB(f, s, REML = TRUE))
both(1, Reaction ~ Days + (1 | Subject))
both(2, Reaction ~ Days + (Days | Subject))
show(3, lmer(Reaction ~ Days + (Days || Subject), s),
     lme(Reaction ~ Days, s, list(Subject = pdDiag(~ Days))),
     glmmTMB(Reaction ~ Days + diag(Days | Subject), s, REML = TRUE))
both(4, Reaction ~ Days + (0 + Days | Subject))
both(5, Reaction ~ 1 + (Days | Subject))
show(6, lmer(Reaction ~ Days + (Days | Subject), s, REML = FALSE))
both(7, Reaction ~ 0 + Days + (1 | Subject))
m <- worked("Machines")
show(8, lmer(score ~ Machine + (Machine | Worker), m))
show(9, lmer(score ~ Machine + (1 | Worker/Machine), m))
show(10, lmer(strength ~ 1 + (1 | batch/cask), worked("Pastes")))
p <- worked("Penicillin")
p$all <- 1
show(11, lmer(diameter ~ 1 + (1 | plate) + (1 | sample), p),
     lme(diameter ~ 1, p, list(all = pdBlocked(list(pdIdent(~ 0 + plate), pdIdent(~ 0 + sample))))))
show(12, lmer(rt ~ cond + (cond | subject) + (cond | item), worked("rt")))
d <- worked("Pixel")
show(13, lmer(pixel ~ day + day2 + (day | Dog) + (1 | Dog:Side), d),
     lme(pixel ~ day + day2, d, list(Dog = ~ day, Side = ~ 1)))
show(14, lmer(yield ~ nitro + (1 | Block/Variety), worked("Oats")))
k <- worked("cake")
k$plot <- with(k, interaction(recipe, replicate))
show(15, lmer(angle ~ recipe + temp + (1 | recipe:replicate), k),
     lme(angle ~ recipe + temp, k, ~ 1 | plot))
show(16, lme(Reaction ~ Days, s, ~ 1 | Subject, weights = varExp(form = ~ Days)),
     glmmTMB(Reaction ~ Days + (1 | Subject), s, dispformula = ~ Days, REML = TRUE))
show(17, lme(Reaction ~ Days, s, ~ 1 | Subject, weights = varIdent(form = ~ 1 | Subject)),
     glmmTMB(Reaction ~ Days + (1 | Subject), s, dispformula = ~ 0 + Subject, REML = TRUE))
cat("18", sprintf("%.3f", logLik(lm(Reaction ~ Days + Subject, s), REML = TRUE)), "\n")
s$v <- 1 / (1 + s$Days / 10)
show(19, lmer(Reaction ~ Days + (1 | Subject), s, weights = 1 / v),
     lme(Reaction ~ Days, s, ~ 1 | Subject, weights = varFixed(~ v)))
show(20, gls(Reaction ~ Days, s))
