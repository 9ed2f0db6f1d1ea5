# Fits a model to rows written by r_packages.py, and writes what it found.
#
#   Rscript fit.R FOLDER
#
# FOLDER holds adapter.R, which defines fit(d) and estimates(m); sizes, with the numbers
# of features and of log-variance features, whether there are groups, whether REML is
# asked for, and the numbers of rows to warm up with and to measure; random, with the
# random effects and then the names of their factors, a line each; and those rows,
# columns one after the other, labels last.  The clock runs during the second call of fit only.

folder <- commandArgs(trailingOnly = TRUE)[1]
sizes <- scan(file.path(folder, "sizes"), quiet = TRUE)
p <- sizes[1]; q <- sizes[2]; grouped <- sizes[3] > 0; reml <- sizes[4] > 0

random <- readLines(file.path(folder, "random"))
factors <- random[-1]

features <- paste0("x", seq_len(p) - 1)
mean_formula <- reformulate(features, "y")
mixed_formula <- reformulate(c(features, random[1]), "y")
variance_formula <- if (q) reformulate(features[seq_len(q)]) else ~1

read <- function(name, n) {
  connection <- file(file.path(folder, name), "rb")
  on.exit(close(connection))
  names <- c(features, "y", factors)
  columns <- lapply(seq_along(names), function(j) readBin(connection, "double", n))
  d <- as.data.frame(setNames(columns, names))
  for (name in factors) d[[name]] <- factor(d[[name]])
  d
}

# In kB; NA where there is no /proc.
memory <- function(what) tryCatch({
  line <- grep(what, readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line))
}, error = function(e) NA, warning = function(w) NA)

reset_peak <- function() {
  try(cat("5", file = "/proc/self/clear_refs"), silent = TRUE)
}

source(file.path(folder, "adapter.R"))
invisible(try(fit(read("small", sizes[5])), silent = TRUE))
d <- read("rows", sizes[6])
invisible(gc(full = TRUE))
reset_peak()
before <- memory("VmRSS")
seconds <- system.time(m <- fit(d))[["elapsed"]]
found <- c(
  list(seconds = seconds, peak_bytes = 1024 * (memory("VmHWM") - before)),
  estimates(m)
)
lines <- vapply(names(found), function(name) {
  paste(c(name, sprintf("%.17g", as.numeric(found[[name]]))), collapse = " ")
}, "")
writeLines(lines, file.path(folder, "found"))
