"""Mean and variance both linear in the features: ours beside the others.

    python docs/benchmarks/heteroscedastic.py groups
    python docs/benchmarks/heteroscedastic.py peers

`groups`: 1,000,000 rows, 50,000 groups, 10 features of the mean and 5 of the variance,
maximum likelihood, against LinearRegression on the same X: random block, and fixed
effects in mean and variance.

`peers`: 100,000 rows, the same 10 features in mean and variance, no groups, maximum
likelihood.  NumPy Fisher scoring, PyTorch's L-BFGS on GaussianNLLLoss with linear
heads, gpboost, and mgcv and glmmTMB through Rscript; those that are not installed are
left out.  Seconds are those of the fit alone; the last column says how far its
log-likelihood is from the best.
"""

import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LinearRegression

from skmixed import GroupsWarning, HeteroscedasticGaussianRegressor

REPEATS = 7


def seconds(function):
    """Wall time of one call, and what it returns."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


# ---------------------------------------------------------------------------- one fit


def compare_with_least_squares(n=1_000_000, n_groups=50_000):
    """Print ratios to LinearRegression, alternating in one process."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 10))
    groups = rng.integers(n_groups, size=n)
    std = np.exp((X[:, :5] @ [0.3, -0.3, 0.2, 0.1, 0.0] - 0.5) / 2)
    y = X.sum(axis=1) + rng.normal(size=n_groups)[groups] + std * rng.normal(size=n)
    print(f"{n} rows, {n_groups} groups, 10 + 5 features, maximum likelihood")
    for mean, variance in (("random", None), ("fixed", "fixed")):
        model = HeteroscedasticGaussianRegressor(
            method="ml",
            variance_features=range(5),
            mean_groups=mean,
            variance_groups=variance,
        )
        times = np.array([_pair(model, X, y, groups) for _ in range(REPEATS + 1)][1:])
        base, ours = np.median(times, axis=0)
        ratio = np.median(times[:, 1] / times[:, 0])
        print(
            f"mean_groups={mean!r}, variance_groups={variance!r}: LinearRegression "
            f"{base:.3f} s, ours {ours:.3f} s, median ratio {ratio:.1f}, "
            f"{model.n_iter_} iterations"
        )


def _pair(model, X, y, groups):
    warnings.simplefilter("ignore", GroupsWarning)  # of small groups under ML
    base, _ = seconds(lambda: LinearRegression().fit(X, y))
    return base, seconds(lambda: model.fit(X, y, groups=groups))[0]


# ------------------------------------------------------------------------------- peers


def log_likelihood(X, y, beta, gamma):
    """Of a model without groups, the constants first among the coefficients."""
    D = np.column_stack([np.ones(len(y)), X])
    eta = D @ gamma
    return -0.5 * np.sum(np.log(2 * np.pi) + eta + (y - D @ beta) ** 2 / np.exp(eta))


def ours(X, y):
    """This package."""
    model = HeteroscedasticGaussianRegressor(method="ml", mean_groups=None)
    spent, _ = seconds(lambda: model.fit(X, y))
    beta = np.append(model.intercept_, model.coef_)
    return spent, beta, np.append(model.variance_intercept_, model.variance_coef_)


def numpy_fisher_scoring(X, y):
    """Weighted least squares and a scoring step in turn, to a decrement of 1e-6."""

    def fit():
        D = np.column_stack([np.ones(len(y)), X])
        beta = np.linalg.solve(D.T @ D, D.T @ y)
        gamma = np.zeros(D.shape[1])
        gamma[0] = np.log(np.mean((y - D @ beta) ** 2))
        covariance = np.linalg.inv(0.5 * D.T @ D)
        for _ in range(100):
            w = np.exp(-(D @ gamma))
            weighted = D * w[:, None]
            beta = np.linalg.solve(weighted.T @ D, weighted.T @ y)
            score = 0.5 * D.T @ ((y - D @ beta) ** 2 * w - 1)
            step = covariance @ score
            gamma = gamma + step
            if score @ step < 1e-6:
                return beta, gamma
        raise RuntimeError("no convergence")

    spent, (beta, gamma) = seconds(fit)
    return spent, beta, gamma


def pytorch_lbfgs(X, y):
    """Two linear heads and GaussianNLLLoss."""
    import torch

    X, y = torch.as_tensor(X), torch.as_tensor(y)
    loss_of = torch.nn.GaussianNLLLoss(full=True, eps=1e-12)

    def fit():
        heads = [torch.nn.Linear(X.shape[1], 1, dtype=torch.float64) for _ in "mv"]
        with torch.no_grad():
            for head, level in zip(heads, (y.mean(), y.var().log()), strict=True):
                head.weight.zero_()
                head.bias.fill_(level)
        optimiser = torch.optim.LBFGS(
            [p for head in heads for p in head.parameters()],
            max_iter=200,
            tolerance_grad=1e-6,
            tolerance_change=1e-9,
            line_search_fn="strong_wolfe",
        )

        def closure():
            optimiser.zero_grad()
            loss = loss_of(heads[0](X)[:, 0], y, heads[1](X)[:, 0].exp())
            loss.backward()
            return loss

        optimiser.step(closure)
        with torch.no_grad():
            return [np.append(head.bias, head.weight) for head in heads]

    spent, (beta, gamma) = seconds(fit)
    return spent, beta, gamma


def gpboost(X, y):
    """Its gaussian_heteroscedastic likelihood without random effects."""
    import gpboost

    D = np.column_stack([np.ones(len(y)), X])
    model = gpboost.GPModel(likelihood="gaussian_heteroscedastic", num_data=len(y))
    spent, _ = seconds(lambda: model.fit(y=y, X=D))
    coef = np.asarray(model.get_coef(format_pandas=False)).ravel()
    return spent, *np.split(coef, 2)


R_PROGRAM = """
suppressMessages(library({package}))
n <- {n}; p <- {p}
d <- as.data.frame(matrix(readBin("{path}", "double", n * (p + 1)), n))
names(d) <- c(paste0("x", 1:p), "y")
mean_formula <- reformulate(paste0("x", 1:p), "y")
variance_formula <- reformulate(paste0("x", 1:p))
spent <- system.time(m <- {fit})[["elapsed"]]
cat(format(c(spent, {figures}), digits = 17), sep = "\\n")
"""
R_FITS = {
    "glmmTMB": (
        "glmmTMB(mean_formula, dispformula = variance_formula, data = d)",
        "fixef(m)$cond, fixef(m)$disp",
    ),
    # Its second predictor is the logarithm of the standard deviation.
    "mgcv": (
        "gam(list(mean_formula, variance_formula), family = gaulss(b = 0), data = d)",
        "coef(m)[1:(p + 1)], 2 * coef(m)[-(1:(p + 1))]",
    ),
}


def through_r(package):
    """An adapter that runs an R package on the same data."""

    def run(X, y):
        fit, figures = R_FITS[package]
        with tempfile.TemporaryDirectory() as folder:
            path, script = Path(folder) / "data", Path(folder) / "fit.R"
            np.column_stack([X, y]).T.tofile(path)
            script.write_text(
                R_PROGRAM.format(
                    package=package, n=len(y), p=X.shape[1], path=path, fit=fit,
                    figures=figures,
                )
            )  # fmt: skip
            command = ["Rscript", str(script)]
            output = subprocess.run(command, capture_output=True, text=True, check=True)
        spent, *values = map(float, output.stdout.split())
        return spent, *np.split(np.array(values), 2)

    return run


ADAPTERS = {
    "skmixed": (ours, REPEATS),
    "NumPy, Fisher scoring": (numpy_fisher_scoring, REPEATS),
    "PyTorch, L-BFGS": (pytorch_lbfgs, REPEATS),
    "gpboost": (gpboost, REPEATS),
    "mgcv, gaulss": (through_r("mgcv"), 1),
    "glmmTMB": (through_r("glmmTMB"), 1),
}


def compare_with_peers(n=100_000, p=10):
    """Print a table."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    std = np.exp((X @ (0.2 * rng.normal(size=p)) - 0.3) / 2)
    y = 1 + X @ rng.normal(size=p) + std * rng.normal(size=n)
    rows = {}
    for name, (adapter, repeats) in ADAPTERS.items():
        try:
            fits = [adapter(X, y) for _ in range(repeats)]
        except (ImportError, FileNotFoundError, subprocess.CalledProcessError) as error:
            print(f"{name:>24}: not run ({type(error).__name__})")
            continue
        spent, beta, gamma = np.median([fit[0] for fit in fits]), *fits[-1][1:]
        rows[name] = spent, log_likelihood(X, y, beta, gamma)
    best = max(value for _, value in rows.values())
    print(f"{n} rows, {p} + {p} features, no groups, maximum likelihood")
    for name, (spent, value) in rows.items():
        ratio = spent / rows["skmixed"][0]
        print(f"{name:>24} {spent:8.3f} s {ratio:8.2f} times ours {value - best:.1e}")


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["groups", "peers"]
    if "groups" in wanted:
        compare_with_least_squares()
    if "peers" in wanted:
        compare_with_peers()
