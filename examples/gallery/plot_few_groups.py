"""
Six subjects: which intervals hold?
===================================

With six groups the data say little about how much groups differ. Intervals that take
the estimated variances for the true ones are then too narrow, and three of them are
compared here: by the normal distribution, by Student's t, and by the distribution that
is integrated over all variances that go with the data.
"""

# %%
# Six of the eighteen sleepless people, and the intervals of the reaction on day 5 of
# somebody new. The estimate of the standard deviation between subjects is one figure;
# its interval says how little six subjects tell.

import matplotlib.pyplot as plt
import numpy as np

from skmixed import RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy

days, reaction, subjects = load_sleepstudy(return_X_y_groups=True)
few = np.isin(subjects, np.unique(subjects)[:6])
model = RandomInterceptRegressor().fit(days[few], reaction[few], groups=subjects[few])
components = model.summary(0.9, distribution="integrated").variance_components
low, high = components["low"][0], components["high"][0]
print(
    f"std between subjects {components['std'][0]:.0f} ms, 90 %: {low:.0f} to {high:.0f}"
)
intervals = {
    name: model.predict_interval([[5.0]], groups=[None], distribution=name)[0]
    for name in ("normal", "t", "integrated")
}
for name, (low, high) in intervals.items():
    print(f"{name:10} {low:.0f} to {high:.0f} ms")

# %%
# Which of them hold? Simulated data know the truth: six groups of five rows, in which
# groups make a fifth or one half or nearly all of the variance. For each of 150 sets
# we ask whether the 90 % intervals hold a row of a new group, and the random intercept
# of a group that was in the data.

rng = np.random.default_rng(0)
groups = np.repeat(np.arange(6), 5)
shares, n_sets = (0.2, 0.5, 0.95), 150
names = ("normal", "t", "integrated")
held = {name: np.zeros((3, 2)) for name in names}
for i, share in enumerate(shares):
    for _ in range(n_sets):
        x, b = rng.normal(size=(30, 1)), np.sqrt(share) * rng.normal(size=7)
        noise = np.sqrt(1 - share) * rng.normal(size=31)
        model = RandomInterceptRegressor().fit(
            x, x[:, 0] + b[groups] + noise[:30], groups=groups
        )
        truth = b[6] + noise[30]
        for name in names:
            ends = model.predict_interval([[0.0]], groups=[6], distribution=name)[0]
            held[name][i, 0] += ends[0] < truth < ends[1]
            if name != "t":
                ends = model.random_intercepts_interval(0.9, name)[0]
                held[name][i, 1] += ends[0] < b[0] < ends[1]

figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
titles = ("a row of a new group", "a random intercept")
for target, (ax, title) in enumerate(zip(axes, titles, strict=True)):
    ax.axhline(0.9, color="0.6", linewidth=1)
    for color, name in enumerate(names):
        if held[name][:, target].any():
            share = held[name][:, target] / n_sets
            ax.plot(shares, share, "o-", color=f"C{color}", label=name)
    ax.set(title=title, xlabel="intraclass correlation", ylim=(0.4, 1.02))
axes[0].set_ylabel("share of 90 % intervals that hold")
axes[0].legend(loc="lower left")
plt.show()

# %%
# The normal intervals of new rows hold less the more of the variance is between groups,
# since it is that variance of which six groups tell little; those of the random
# intercepts hold least where there is little of it, since its estimate is then often 0.
# (With 150 sets a share of 90 % has a standard error of 2.5 points.) The integrated
# distribution costs a few milliseconds and is offered wherever there is a likelihood of
# all rows: in ``predict_interval``, ``sample_y``, ``log_predictive_density``,
# ``summary`` and ``random_intercepts_interval``.
