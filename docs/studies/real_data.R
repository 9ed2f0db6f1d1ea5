# Log-likelihoods of models of the data sets of R's packages by lme4, nlme and glmmTMB.
suppressMessages({library(lme4); library(nlme); library(glmmTMB)})
folder <- commandArgs(TRUE)[1]
packages <- commandArgs(TRUE)[-1]
most_rows <- 5000
seconds <- 20

value <- function(fit) {
  found <- tryCatch({
    setTimeLimit(elapsed = seconds, transient = TRUE)
    as.numeric(logLik(suppressMessages(suppressWarnings(fit()))))
  }, error = function(e) NA)
  if (length(found) == 1) found else NA
}

# A data frame whose columns are numbers and text, or NULL.
read <- function(package, name) {
  space <- new.env()
  try(suppressWarnings(data(list = name, package = package, envir = space)), silent = TRUE)
  d <- tryCatch(as.data.frame(space[[name]]), error = function(e) NULL)
  if (is.null(d) || !nrow(d) %in% 12:most_rows || ncol(d) < 3) return(NULL)
  for (v in names(d)) if (is.factor(d[[v]])) d[[v]] <- as.character(d[[v]])
  d <- d[, sapply(d, function(v) is.numeric(v) || is.character(v)), drop = FALSE]
  names(d) <- make.names(gsub("[._]", "", names(d)), unique = TRUE)
  d <- d[complete.cases(d), , drop = FALSE]
  if (nrow(d) < 12) NULL else d
}

# Whether a column may be the labels of groups.
is_label <- function(v) {
  n <- length(unique(v))
  whole <- is.character(v) || all(v == round(v)) && n > 5 && length(v) / n >= 2
  n >= 3 && n < 0.7 * length(v) && whole
}

# The response, features and labels of a data set, and terms of random effects.
models_of <- function(d) {
  count <- sapply(d, function(v) length(unique(v)))
  labels <- names(d)[sapply(d, is_label)]
  numbers <- setdiff(names(d)[sapply(d, is.numeric) & count > 1], labels[1])
  if (!length(labels) || !length(numbers)) return(NULL)
  y <- numbers[which.max(count[numbers])]
  g <- labels[which.max(count[labels])]
  h <- setdiff(labels, g)[1]
  x <- head(setdiff(numbers, c(y, labels)), 3)
  if (y == g) return(NULL)
  terms <- sprintf("(1 | %s)", g)
  if (length(x)) terms <- c(terms, sprintf(c("(%s | %s)", "(%s || %s)"), x[1], g))
  if (length(x) > 1) terms <- c(terms, sprintf("(%s + %s | %s)", x[1], x[2], g))
  if (!is.na(h)) terms <- c(terms, sprintf("(1 | %s) + (1 | %s)", g, h))
  if (!is.na(h) && length(x)) terms <- c(terms,
    sprintf("(%s | %s) + (1 | %s)", x[1], g, h),
    sprintf("(%s | %s) + (%s | %s)", x[1], g, x[1], h))
  list(y = y, x = x, labels = c(g, h)[!is.na(c(g, h))], terms = terms)
}

fit_all <- function(d, model, terms, reml) {
  fixed <- if (length(model$x)) paste(model$x, collapse = " + ") else "1"
  f <- as.formula(paste(model$y, "~", fixed, "+", terms))
  by_lmer <- function(optimizer) value(function() lmer(f, d, REML = reml,
    control = lmerControl(optimizer = optimizer, calc.derivs = FALSE,
      check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore",
      check.nobs.vs.rankZ = "ignore", check.nlev.gtreq.5 = "ignore")))
  row <- data.frame(terms = terms, method = if (reml) "reml" else "ml")
  for (optimizer in c("bobyqa", "nloptwrap")) row[[optimizer]] <- by_lmer(optimizer)
  row$glmmTMB <- value(function() glmmTMB(f, d, REML = reml))
  one <- !grepl("||", terms, fixed = TRUE) && !grepl("+ (", terms, fixed = TRUE)
  random <- as.formula(paste("~", gsub("[()]", "", terms)))
  row$nlme <- if (one) value(function() lme(as.formula(paste(model$y, "~", fixed)), d,
    random = random, method = toupper(row$method))) else NA
  noise <- as.formula(paste("~", model$x[1]))
  row$modelled <- if (length(model$x)) value(function()
    glmmTMB(f, d, REML = reml, dispformula = noise)) else NA
  row
}

out <- NULL
for (package in packages) for (name in unique(sub(" .*", "", data(package = package)$results[, "Item"]))) {
  d <- read(package, name)
  model <- if (!is.null(d)) models_of(d)
  if (is.null(model)) next
  key <- paste(package, name, sep = ".")
  write.csv(d, file.path(folder, paste0(key, ".csv")), row.names = FALSE)
  for (v in model$labels) d[[v]] <- as.character(d[[v]])
  x <- paste(model$x, collapse = " ")
  for (i in seq_along(model$terms)) out <- rbind(out, cbind(
    data = key, y = model$y, x = x, fit_all(d, model, model$terms[i], i %% 2 == 0)))
}
write.csv(out, file.path(folder, "peers.csv"), row.names = FALSE)
