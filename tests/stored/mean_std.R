# Standard errors of expected values, as lme4 1.1-35 and later give them by
# predict(fit, se.fit = TRUE): of x'beta + b, with the joint covariance of the errors of
# coefficients and random intercepts, sigma^2 (A'A + blockdiag(0, sigma^2 / sigma_b^2 I))^-1,
# A = [X Z].  Of a new group the intercept's variance is added to that of x'beta.
#
# Rscript mean_std.R >mean_std.json
library(lme4)
library(jsonlite)

fit <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy)
X <- getME(fit, "X")
Z <- as.matrix(getME(fit, "Z"))
sigma2 <- sigma(fit)^2
psi <- as.numeric(VarCorr(fit)$Subject)
A <- cbind(X, Z)
penalty <- diag(c(0, 0, rep(sigma2 / psi, ncol(Z))))
covariance <- sigma2 * solve(crossprod(A) + penalty)

rows <- expand.grid(day = c(0, 5, 9), subject = c("308", "352", "new"),
                    stringsAsFactors = FALSE)
known <- rows$subject %in% colnames(Z)
member <- 1 * outer(rows$subject, colnames(Z), "==")
D <- cbind(1, rows$day, member)
mean <- drop(D[, 1:2] %*% fixef(fit)) + drop(member %*% ranef(fit)$Subject[[1]])
std <- sqrt(rowSums((D %*% covariance) * D) + ifelse(known, 0, psi))
result <- list(lme4 = as.character(packageVersion("lme4")), day = rows$day,
               subject = rows$subject, mean = mean, std = std)
cat(toJSON(result, digits = 10, auto_unbox = TRUE), "\n")
