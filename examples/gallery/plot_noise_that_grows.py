"""
Noise that depends on the features
==================================

Sleepless people do not only react more slowly, they also react less evenly.
``HeteroscedasticGaussianRegressor`` lets the logarithm of the noise variance depend on
the features, beside a random intercept for every subject.
"""

# %%
# Two models of the same data: one noise variance for all days, and one that depends on
# the day.

import matplotlib.pyplot as plt
import numpy as np

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy
from skmixed.inspection import ResidualScaleDisplay
from skmixed.model_selection import cross_val_predict_groups, cross_validate_groups

days, reaction, subjects = load_sleepstudy(return_X_y_groups=True)
constant = RandomInterceptRegressor().fit(days, reaction, groups=subjects)
modelled = HeteroscedasticGaussianRegressor().fit(days, reaction, groups=subjects)
print(modelled.summary().log_variance)

# %%
# The bands of a subject that was not in the data: what the first model knows, on every
# day alike, is too wide at first and too narrow in the end.

grid = np.linspace(0, 9, 50)[:, None]
new = np.full(len(grid), None)  # no subject of the data
figure, axes = plt.subplots(1, 2, sharey=True, figsize=(9, 4), layout="constrained")
titles = ["one noise variance", "noise variance of the day"]
for ax, model, title in zip(axes, (constant, modelled), titles, strict=True):
    ax.plot(days, reaction, ".", color="0.6")
    ax.plot(grid, model.predict(grid, groups=new), color="C0")
    for coverage, alpha in ((0.5, 0.35), (0.9, 0.2)):
        band = model.predict_interval(grid, groups=new, coverage=coverage).T
        label = f"{coverage:.0%} of new subjects"
        ax.fill_between(grid[:, 0], *band, color="C0", alpha=alpha, label=label)
    ax.set(title=title, xlabel="day")
axes[0].set_ylabel("reaction time (ms)")
axes[0].legend(loc="upper left")

# %%
# Are the standard deviations right? Out of sample, by cross-validation within subjects:
# the root mean squared residual should be what was predicted.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, model, title in zip(axes, (constant, modelled), titles, strict=True):
    mean, std = cross_val_predict_groups(
        model, days, reaction, groups=subjects, return_std=True
    )
    ResidualScaleDisplay.from_predictions(reaction, mean, std, n_bins=5, ax=ax)
    ax.set_title(title)

# %%
# And the proper scores, for subjects that are known and for new ones:

print(
    cross_validate_groups(
        {"one noise variance": constant, "of the day": modelled},
        days, reaction, groups=subjects,
    )
)  # fmt: skip

# %%
# In sample the log-likelihood gains 5. Out of sample, with 18 subjects, the gain is in
# the row-by-row scores of new subjects; for known subjects, and for the ten days of a
# new subject together, the constant variance scores no worse. The data are few, and
# subjects differ in their slopes, which neither model knows: a proper score says what
# an in-sample likelihood does not.
