"""
Everybody has a slope of their own
==================================

Eighteen people slept three hours a night and took reaction tests for ten days. They
do not only begin at different levels: some get slower by 20 ms a day, and some hardly
at all. A model with random slopes gives everybody a line, drawn towards the common one
by as much as the data of one person leave open.
"""

# %%
# The term ``(Days | Subject)``, in the notation of R's lme4, says that the intercept
# and the slope of `Days` differ between subjects, and may be correlated.
# ``(1 | Subject)`` lets the intercept differ alone.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmixed import LinearMixedRegressor
from skmixed.datasets import load_sleepstudy
from skmixed.inspection import GroupLinesDisplay, LikelihoodProfileDisplay

data = load_sleepstudy(as_frame=True).frame
X, y, subjects = data[["Days"]], data["Reaction"], data["Subject"]
levels = LinearMixedRegressor("(1 | Subject)").fit(X, y, groups=subjects)
slopes = LinearMixedRegressor("(Days | Subject)").fit(X, y, groups=subjects)
print(slopes.summary())

# %%
# The standard deviation of the slopes, 6 ms a day, is more than half of the common
# slope. Both models are fitted by REML and have the same mean, so that their
# likelihoods may be compared: two parameters more are worth 21 units.

gain = slopes.log_likelihood_ - levels.log_likelihood_
print(f"log-likelihood gained by slopes: {gain:.1f}")

# %%
# The profile of the likelihood says how well the data tell the correlation of levels
# and slopes: not at all whether it is positive.

display = LikelihoodProfileDisplay.from_estimator(
    slopes, "corr(intercept, Days | Subject)", n_points=41
)

# %%
# Each person's own least-squares line, the line of somebody new, and that of the model,
# which is between the two. Lines that the data of one person tell well are moved less.

display = GroupLinesDisplay.from_estimator(slopes, X, y, "Days", groups=subjects)
display.figure_.supxlabel("days with three hours of sleep")
display.figure_.supylabel("reaction time (ms)")

# %%
# Intercept and slope of everybody, as the own lines have them and as the model does.
# Arrows lead from the first to the second: towards the middle, and along the ellipse
# that the model's covariance of intercepts and slopes draws (here nearly round, the
# correlation being 0.07).

table = slopes.random_effects_table("Subject", total=True)
own_lines = np.array(
    [
        np.polyfit(X.loc[subjects == s, "Days"], y[subjects == s], 1)
        for s in slopes.groups_["Subject"]
    ]
)
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
ax.quiver(
    own_lines[:, 1],
    own_lines[:, 0],
    table["intercept"] - own_lines[:, 1],
    table["Days"] - own_lines[:, 0],
    angles="xy",
    scale_units="xy",
    scale=1,
    width=0.003,
    color="0.6",
)
ax.plot(own_lines[:, 1], own_lines[:, 0], "o", mfc="none", color="C1", label="own line")
ax.plot(table["intercept"], table["Days"], "o", color="C0", label="model")
ax.plot(slopes.intercept_, slopes.coef_[0], "k*", ms=12, label="common line")
ax.set(xlabel="intercept (ms)", ylabel="slope (ms per day)")
ax.legend()

# %%
# The two models differ about the last day of somebody new. Without slopes, the
# spread of people is the same on all days; with them, it grows, as it does in the data.

days = pd.DataFrame({"Days": np.linspace(0, 9, 10)})
new = np.full(len(days), None)
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
for model, color, label in (
    (levels, "C1", "(1 | Subject)"),
    (slopes, "C0", "(Days | Subject)"),
):
    low, high = model.predict_interval(days, groups=new, coverage=0.9).T
    ax.fill_between(days["Days"], low, high, alpha=0.25, color=color, label=label)
ax.plot(X["Days"], y, ".", color="0.5")
ax.set(xlabel="days", ylabel="reaction time (ms)")
ax.set_title("90 % intervals of somebody new")
ax.legend(loc="upper left")
