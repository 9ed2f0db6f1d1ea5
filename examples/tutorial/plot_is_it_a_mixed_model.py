r"""
Is a Gaussian likelihood with groups in it a mixed model?
=========================================================

A common way to model grouped data with the tools of machine learning is to predict a
mean :math:`\mu(x)` and a variance :math:`\sigma^2(x)` for every row, with the groups
one-hot encoded among the features :math:`x`, and to minimise the Gaussian negative
log-likelihood. It looks like a mixed-effects model: there are effects of groups, and
there is a variance. Is it one?

No: with one variance per row the errors stay *independent*. In a random-effects model
the errors of a group are *correlated*, and that takes a covariance with a
block for each group. The likelihood is the same; its covariance is not. This tutorial
shows the difference, where it hurts, and how near the two are to each other.
"""

# %%
# Data with a known truth
# -----------------------
# 400 groups of 6 rows. Every group has a level of its own, :math:`b_g`, with a standard
# deviation of 1; so has the noise. Half of the groups are for training, half are new.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm

from skmixed import (
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    RandomInterceptRegressor,
)
from skmixed.metrics import gaussian_nll, joint_gaussian_nll_gradient

N_GROUPS, SIZE = 400, 6


def simulate(n_groups, size, seed, group_std=1.0):
    """A feature, a target, groups."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), size)
    x = rng.normal(size=len(groups))
    b = group_std * rng.normal(size=n_groups)
    return x[:, None], 1 + 0.5 * x + b[groups] + rng.normal(size=len(groups)), groups


X, y, groups = simulate(N_GROUPS, SIZE, seed=0)
train = groups < N_GROUPS // 2
X_new, y_new, groups_new = X[~train], y[~train], groups[~train]
X, y, groups = X[train], y[train], groups[train]

# %%
# The independent likelihood, and what it misses
# ----------------------------------------------
# First without groups: a mean and a log-variance that are linear in the feature, by
# maximum likelihood. This is the loss that PyTorch calls ``GaussianNLLLoss``,
#
# .. math:: -\log p(y) = \sum_{i=1}^n \left[ \tfrac12 \log 2\pi\sigma_i^2
#           + \frac{(y_i - \mu_i)^2}{2 \sigma_i^2} \right]:
#
# a sum over rows, because the rows are taken to be independent.

independent = HeteroscedasticGaussianRegressor(mean_groups=None, method="ml").fit(X, y)
mean, std = independent.predict(X_new, return_std=True)
z = ((y_new - mean) / std).reshape(-1, SIZE)
first, second = np.triu_indices(SIZE, 1)
correlation = np.mean(z[:, first] * z[:, second]) / np.mean(z**2)
print(f"90 % intervals of single rows hold  {np.mean(np.abs(z) < norm.ppf(0.95)):.0%}")
print(f"correlation of residuals in a group {correlation:.2f}")

# %%
# Row by row, the model is right: the spread between groups has gone into its noise. But
# the residuals of a group are alike, which the model calls impossible. The mean of a
# new group shows what that costs. Independent errors average out, a level that all rows
# share does not:

of_mean = np.sqrt(np.mean(std.reshape(-1, SIZE) ** 2, axis=1) / SIZE)
error = (y_new - mean).reshape(-1, SIZE).mean(axis=1)
print(f"predicted std of a group's mean {of_mean.mean():.2f}, actual {error.std():.2f}")
print(
    f"90 % intervals of group means hold {np.mean(np.abs(error / of_mean) < 1.645):.0%}"
)

# %%
# Then let us tell the model which group is which, by one-hot columns
# (``mean_groups="fixed"``: the same as encoding them, for any number of groups). Now
# the noise is only what is left within groups, and the levels are parameters. For the
# groups of the training set that is fine. A new group has no column, and the model has
# no idea that its level is unknown:

one_hot = HeteroscedasticGaussianRegressor(
    mean_groups="fixed", variance_features=[], method="ml"
)
one_hot.fit(X, y, groups=groups)
blocks = RandomInterceptRegressor().fit(X, y, groups=groups)
for name, model in {"one-hot": one_hot, "blocks": blocks}.items():
    mean, std = model.predict(X_new, groups=groups_new, return_std=True)
    held = np.mean(np.abs(y_new - mean) < 1.645 * std)
    print(f"{name:8} 90 % intervals of rows of new groups hold {held:.0%}")

# %%
# The last line is the random-intercept model. It promises as much for single rows as
# the independent one. Its promise for the mean of a new group comes from the
# covariance of its predictions:

mean, covariance = blocks.predict(X_new, groups=groups_new, return_cov=True)
of_mean = np.array(
    [
        np.sqrt(covariance[first : first + SIZE, first : first + SIZE].mean())
        for first in range(0, len(y_new), SIZE)
    ]
)
error = (y_new - mean).reshape(-1, SIZE).mean(axis=1)
print(f"predicted std of a group's mean {of_mean.mean():.2f}, actual {error.std():.2f}")
print(
    f"90 % intervals of group means hold {np.mean(np.abs(error / of_mean) < 1.645):.0%}"
)

# %%
# The likelihood that is a sum over rows cannot tell the two models apart, the joint
# likelihood can:

for name, model in {"independent": independent, "blocks": blocks}.items():
    mean, std = model.predict(X_new, groups=groups_new, return_std=True)
    by_row = gaussian_nll(y_new, mean, std)
    joint = -model.log_predictive_density(X_new, y_new, groups=groups_new) / len(y_new)
    print(f"{name:12} NLL by row {by_row:.3f}   joint NLL per row {joint:.3f}")

# %%
# The same likelihood with a covariance
# -------------------------------------
# Nothing forces a Gaussian likelihood to be a sum over rows. For all rows at once it is
#
# .. math:: \log p(y) = -\tfrac12 \left[ n \log 2\pi + \log|\Sigma|
#           + (y - X\beta)'\,\Sigma^{-1} (y - X\beta) \right],
#
# and the independent model is the one with a diagonal :math:`\Sigma`:

few = groups < 40  # matrices of all rows are slow
X, y, groups = X[few], y[few], groups[few]
n = len(y)
mean = independent.predict(X)
noise_std = independent.predict_noise_std(X)
rows = norm.logpdf(y, mean, noise_std).sum()
matrix = multivariate_normal.logpdf(y, mean, np.diag(noise_std**2))
print(f"sum over rows {rows:.6f}, with a diagonal matrix {matrix:.6f}")
print(f"a free covariance would have {n * (n + 1) // 2:,} parameters, for {n} rows")

# %%
# Nobody can estimate that. A random intercept is the idea that two are enough: with
# :math:`y = X\beta + b_g + e`, :math:`b_g \sim N(0, \sigma_b^2)` and :math:`e \sim N(0,
# \sigma^2)`, rows of different groups are independent, and the block of a group is
#
# .. math:: \Sigma_g = \sigma^2 I + \sigma_b^2 \mathbf{1}\mathbf{1}'.
#
# With the formula above and a general optimiser, four numbers, that is a mixed model:


def block_covariance(groups, noise_std, group_std):
    """The covariance of all rows."""
    same = groups[:, None] == groups
    return noise_std**2 * np.eye(len(groups)) + group_std**2 * same


def negative_log_likelihood(parameters):
    intercept, slope, log_noise, log_group = parameters
    covariance = block_covariance(groups, np.exp(log_noise), np.exp(log_group))
    mean = intercept + slope * X[:, 0]
    return -multivariate_normal.logpdf(y, mean, covariance)


by_hand = minimize(negative_log_likelihood, np.zeros(4), method="BFGS").x
model = RandomInterceptRegressor(method="ml").fit(X, y, groups=groups)
fitted = [model.intercept_, *model.coef_]
fitted += [model.noise_variance_**0.5, model.group_variance_**0.5]
by_hand[2:] = np.exp(by_hand[2:])
for name, one, other in zip(
    ["intercept", "slope", "noise std", "group std"], by_hand, fitted, strict=True
):
    print(f"{name:10} by hand {one:.5f}   RandomInterceptRegressor {other:.5f}")

# %%
# One-hot columns with a ridge are the same thing
# -----------------------------------------------
# The two ideas meet exactly. Given the variances, the predicted levels
# (``random_intercepts_``) are the coefficients of one-hot columns in a least-squares
# fit with the ridge penalty :math:`\sigma^2/\sigma_b^2` on them, and on nothing else:

one_hot_columns = np.eye(40)[groups]
D = np.column_stack([np.ones(n), X, one_hot_columns])


def ridge(penalty):
    """Intercept, slope and levels."""
    penalties = np.r_[0, 0, np.full(40, penalty)]
    return np.linalg.solve(D.T @ D + np.diag(penalties), D.T @ y)


solution = ridge(model.noise_variance_ / model.group_variance_)
difference = np.abs(solution[2:] - model.random_intercepts_).max()
print(f"largest difference of the levels: {difference:.1e}")

# %%
# So the group standard deviation is a dial: at :math:`\sigma_b \to 0` the levels vanish
# and all groups are pooled, at :math:`\sigma_b \to \infty` they are free, the one-hot
# model. The random-intercept model lets the data turn it.

penalties = np.geomspace(1e-3, 1e4, 60)
levels = np.array([ridge(penalty)[2:] for penalty in penalties])
levels -= levels.mean(axis=1, keepdims=True)
_, ax = plt.subplots(layout="constrained")
ax.plot(penalties, levels, color="C0", alpha=0.5, linewidth=1)
best = model.noise_variance_ / model.group_variance_
ax.axvline(best, color="C1", label="$\\sigma^2/\\sigma_b^2$ as estimated")
ax.set(xscale="log", xlabel="ridge penalty on the one-hot columns", ylabel="level")
ax.set_title("From free levels to none: 40 groups")
ax.legend()

# %%
# How are the variances estimated, then?
# --------------------------------------
# Not as one more parameter beside the levels. The levels are integrated out: that is
# what the block :math:`\Sigma_g` is, and its two parameters are all that is estimated.
# Treating the levels as parameters goes wrong in two ways. If the levels are free, the
# noise is too small, by one part in the size of a group, *however many groups there
# are* (Neyman and Scott 1948):

for size in (2, 3, 12):
    X_many, y_many, groups_many = simulate(4000, size, seed=1)
    free = HeteroscedasticGaussianRegressor(
        mean_groups="fixed", variance_features=[], method="ml"
    )
    free.fit(X_many, y_many, groups=groups_many)
    integrated = RandomInterceptRegressor(method="ml")
    integrated.fit(X_many, y_many, groups=groups_many)
    noise = np.exp(free.variance_intercept_), integrated.noise_variance_
    print(f"{size:2} rows to a group: noise variance {noise[0]:.3f} with free levels, ")
    print(f"{'':19}{noise[1]:.3f} with integrated ones (truth 1)")

# %%
# (``method="reml"`` allows for the levels, and has no such bias.)
#
# And if the levels are penalised parameters whose variance is estimated with them, by
# minimising :math:`-\log p(y\,|\,b) - \log p(b)` over everything, there is no minimum
# at all: at small enough :math:`\sigma_b` the levels go to 0 and their density to
# infinity.


def joint_density(group_std):
    """Best -log p(y | b) - log p(b) at a group standard deviation, noise std 1."""
    solution = ridge(1 / group_std**2)
    b = solution[2:]
    return -norm.logpdf(y, D @ solution).sum() - norm.logpdf(b, 0, group_std).sum()


for group_std in (1.0, 0.1, 1e-3, 1e-6, 1e-12):
    print(f"group std {group_std:7.0e}: {joint_density(group_std):8.1f}")

# %%
# Why stochastic gradients need whole groups
# ------------------------------------------
# The joint log-likelihood is a sum over groups, not over rows. A batch of rows from
# here and there has the marginal likelihood of those rows, and such likelihoods do not
# add up to that of all; batches of whole groups do. (The sum over random batches is a
# composite likelihood: another objective, in which rows of a group that fall into
# different batches count as independent, and which hardly sees the group variance where
# few of them meet.)

covariance = block_covariance(groups, 1.0, 1.0)
residual = y - 1 - 0.5 * X[:, 0]


def log_density(rows):
    part = covariance[np.ix_(rows, rows)]
    return multivariate_normal.logpdf(residual[rows], cov=part)


shuffled = np.random.default_rng(0).permutation(n)
print(f"all rows                  {log_density(np.arange(n)):.3f}")
print(
    f"10 batches of 4 groups    {sum(map(log_density, np.split(np.arange(n), 10))):.3f}"
)
print(f"10 batches of random rows {sum(map(log_density, np.split(shuffled, 10))):.3f}")

# %%
# Blocks that no random intercept has
# -----------------------------------
# A block :math:`\sigma^2 I + c\,\mathbf{1}\mathbf{1}'` (compound symmetry) is a
# covariance for every :math:`c > -\sigma^2 / n_g`: the correlation of two rows may go
# down to :math:`-1/(n_g - 1)`. A random intercept has :math:`c = \sigma_b^2 \ge 0`.
# Where the rows of a group are *less* alike than chance, four slices of one cake, say,
# the better block has a negative :math:`c`; the random intercept ends at 0, which is a
# result, not an error. Below the variance of a row is held at 1:

groups_4 = np.repeat(np.arange(50), 4)
noise = np.random.default_rng(0).normal(size=(50, 4))
slices = (noise - 0.8 * noise.mean(axis=1, keepdims=True)).ravel()
same = (groups_4[:, None] == groups_4).astype(float)
for c in (-0.2, -0.1, 0.0, 0.1):
    value = multivariate_normal.logpdf(slices, cov=(1 - c) * np.eye(200) + c * same)
    print(f"covariance {c:5.2f}: log-likelihood {value:.2f}")
boundary = RandomInterceptRegressor().fit(np.empty((200, 0)), slices, groups=groups_4)
print(
    f"group variance {boundary.group_variance_}, at_boundary_ {boundary.at_boundary_}"
)

# %%
# Both at once
# ------------
# A variance for every row and a block for every group are no alternatives. With
# :math:`\Sigma_g = \mathrm{diag}(\sigma^2(x)) + \sigma_b^2 \mathbf{1}\mathbf{1}'`,
# ``HeteroscedasticGaussianRegressor`` has both; each of the models of this page is one
# of its settings, and all of them are one likelihood. On data whose noise grows with
# the feature, and whose groups have levels:

rng = np.random.default_rng(2)
groups_2 = np.repeat(np.arange(N_GROUPS), SIZE)
X_2 = rng.normal(size=(len(groups_2), 1))
y_2 = X_2[:, 0] + rng.normal(size=N_GROUPS)[groups_2]
y_2 += np.exp(0.7 * X_2[:, 0]) * rng.normal(size=len(y_2))
old = groups_2 < N_GROUPS // 2
settings = {
    "neither": {"mean_groups": None, "variance_features": []},
    "variance of x": {"mean_groups": None},
    "block": {"variance_features": []},
    "both": {},
}
for name, options in settings.items():
    both = HeteroscedasticGaussianRegressor(**options)
    both.fit(X_2[old], y_2[old], groups=groups_2[old])
    mean, std = both.predict(X_2[~old], groups=groups_2[~old], return_std=True)
    by_row = gaussian_nll(y_2[~old], mean, std)
    joint = both.log_predictive_density(X_2[~old], y_2[~old], groups=groups_2[~old])
    print(f"{name:14} NLL by row {by_row:.3f}   joint {-joint / np.sum(~old):.3f}")

# %%
# More than one effect: the general case
# --------------------------------------
# Slopes that differ between groups, and groups of several kinds, only change what the
# covariance is made of. With :math:`Z` the columns of all effects and :math:`\Psi`
# their covariance,
#
# .. math:: \Sigma = \sigma^2 I + Z \Psi Z'.
#
# For a slope, the rows of a group are :math:`\mathrm{Cov}(y_i, y_j) = \sigma^2
# [i = j] + (1, x_i) \Psi (1, x_j)'`: rows with large :math:`x` vary more, and together.
# For crossed factors, subjects and items say, two rows are correlated if they share the
# subject, *or* the item: there are no blocks any more.

rng = np.random.default_rng(3)
subject, item = np.repeat(np.arange(20), 12), np.tile(np.arange(12), 20)
x = rng.normal(size=240)
slope = 0.8 * rng.normal(size=20)
y_3 = 1 + x + rng.normal(size=20)[subject] + slope[subject] * x
y_3 += 0.7 * rng.normal(size=12)[item] + 0.5 * rng.normal(size=240)


def general_covariance(parameters):
    """Slopes of subjects, levels of items, noise: by the Cholesky root of Psi."""
    a, b, c, log_item, log_noise = parameters
    root = np.array([[np.exp(a), 0.0], [b, np.exp(c)]])
    Z = np.column_stack([np.ones(240), x]) @ root
    subjects = (Z @ Z.T) * (subject[:, None] == subject)
    items = np.exp(2 * log_item) * (item[:, None] == item)
    return subjects + items + np.exp(2 * log_noise) * np.eye(240)


few = np.lexsort([item, subject])[:72]  # six subjects
_, panels = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
for panel, parameters, title in zip(
    panels,
    [(0, 0, -0.2, -9, -0.7), (0, 0, -0.2, -0.4, -0.7)],
    ["slopes of subjects", "and levels of items, crossed"],
    strict=True,
):
    block = general_covariance(parameters)[np.ix_(few, few)]
    panel.imshow(block, cmap="RdBu", vmin=-3, vmax=3)
    panel.set(title=title, xticks=[], yticks=[])

# %%
# Fitting it by hand
# ------------------
# The mean has a closed form at each :math:`\Sigma`, generalised least squares; five
# numbers are left for an optimiser. Their gradient, if it is wanted, is that of any
# Gaussian:
#
# .. math:: \frac{\partial (-\log p)}{\partial \theta} = \tfrac12 \mathrm{tr}
#           \left[ (\Sigma^{-1} - \Sigma^{-1} r r' \Sigma^{-1})
#           \frac{\partial \Sigma}{\partial \theta} \right].

D_3 = np.column_stack([np.ones(240), x])


def profiled(parameters):
    """Minus the log-likelihood, at the best mean."""
    covariance = general_covariance(parameters)
    weighted = np.linalg.solve(covariance, D_3)
    coef = np.linalg.solve(D_3.T @ weighted, weighted.T @ y_3)
    return -multivariate_normal.logpdf(y_3, D_3 @ coef, covariance)


by_hand = minimize(profiled, [0.0, 0.0, 0.0, -0.5, -0.5], method="BFGS")
crossed = LinearMixedRegressor("(x | subject) + (1 | item)", method="ml")
labels = pd.DataFrame({"subject": subject, "item": item})
crossed.fit(pd.DataFrame({"x": x}), y_3, groups=labels)
print(f"log-likelihood by hand {-by_hand.fun:.4f}, {by_hand.nfev} matrices of all rows")
print(f"LinearMixedRegressor   {crossed.log_likelihood_:.4f}")
psi = crossed.random_effects_covariance_["subject"]
root = np.array([[np.exp(by_hand.x[0]), 0], [by_hand.x[1], np.exp(by_hand.x[2])]])
print("Psi by hand", np.round(root @ root.T, 3).tolist())
print("Psi        ", np.round(psi, 3).tolist())

# %%
# Why not to maximise over the effects jointly
# --------------------------------------------
# The density of y and the effects together, :math:`p(y, b)`, has the best effects as
# its maximum *given the variances*: they are those of the model. As a function of the
# variances it is of no use. It differs from the likelihood by the integral over
# :math:`b`, half of :math:`\log|\Sigma| - \log|\sigma^2 I| - \log|\Psi|` and depends
# on them; without it the variance of the items is best at 0, however much items differ:


def joint(log_item):
    """-log p(y, b) at the best effects of items, all else as estimated."""
    parameters = [*by_hand.x[:3], -30.0, by_hand.x[4]]
    others = general_covariance(parameters)
    Z = np.eye(12)[item]
    weighted = np.linalg.solve(others, np.column_stack([D_3, Z]))
    penalty = np.diag(np.r_[0, 0, np.full(12, np.exp(-2 * log_item))])
    information = np.column_stack([D_3, Z]).T @ weighted + penalty
    effects = np.linalg.solve(information, weighted.T @ y_3)
    mean = np.column_stack([D_3, Z]) @ effects
    density = multivariate_normal.logpdf(y_3, mean, others)
    return -density - norm.logpdf(effects[2:], 0, np.exp(log_item)).sum()


scale = np.linspace(-25, 1.5, 80)
marginal = [profiled([*by_hand.x[:3], s, by_hand.x[4]]) for s in scale]
together = [joint(s) for s in scale]
_, ax = plt.subplots(layout="constrained")
ax.plot(np.exp(scale), marginal, label="likelihood: effects integrated out")
ax.plot(np.exp(scale), together, label="jointly with the effects")
ax.axvline(0.7, color="0.6", ls=":", label="truth")
ax.set(xscale="log", xlabel="std between items", ylabel="minus the log-density")
ax.legend()

# %%
# By stochastic gradients
# -----------------------
# With one grouping factor the likelihood is a sum over groups, so that batches of whole
# groups give unbiased gradients: any optimiser of deep learning fits it. Here by Adam,
# in NumPy, for the four numbers of a random intercept; the gradient is that of
# ``joint_gaussian_nll_gradient``, which costs as much as the rows of the batch.

X_4, y_4, groups_4 = simulate(400, 6, seed=4)
x_4 = X_4[:, 0]
theta, first_moment, second_moment = np.zeros(4), np.zeros(4), np.zeros(4)
batches = np.random.default_rng(0)
path = []
for step in range(1, 2001):
    chosen = batches.choice(400, 20, replace=False)
    rows = np.isin(groups_4, chosen)
    _, by_mean, by_noise, by_group = joint_gaussian_nll_gradient(
        y_4[rows],
        theta[0] + theta[1] * x_4[rows],
        np.exp(theta[2]),
        np.exp(theta[3]),
        groups_4[rows],
    )
    sums = by_mean.sum(), by_mean @ x_4[rows], by_noise.sum(), by_group.sum()
    slopes = np.array(sums) / rows.sum()
    first_moment = 0.9 * first_moment + 0.1 * slopes
    second_moment = 0.999 * second_moment + 0.001 * slopes**2
    rate = 0.02 / (1 + step / 500)
    corrected = second_moment / (1 - 0.999**step)
    theta = theta - rate * first_moment / (1 - 0.9**step) / (np.sqrt(corrected) + 1e-8)
    path.append(theta)
averaged = np.mean(path[-500:], axis=0)
model = RandomInterceptRegressor(method="ml").fit(X_4, y_4, groups=groups_4)
fitted = [model.intercept_, *model.coef_, np.log(model.noise_variance_)]
fitted += [np.log(model.group_variance_)]
names = ["intercept", "slope", "log noise variance", "log group variance"]
for name, one, other in zip(names, averaged, fitted, strict=True):
    print(f"{name:19} Adam {one:7.4f}   RandomInterceptRegressor {other:7.4f}")

# %%
# Nested groups are fitted in the same way, by batches of whole outer groups. Crossed
# factors have no such batches, as every row is linked to every other one: there the
# full likelihood is needed, or a bound of it.
#
# %%
# So what is a random intercept?
# ------------------------------
# A level that all rows of a group share and nobody has seen. It is not estimated as a
# parameter, but has a distribution, whose variance is. That makes the rows of a group
# correlated; it shrinks what is known about a group towards what is known about all,
# the more, the fewer rows the group has; and it tells how far a group may be from the
# others that nobody has seen yet.
