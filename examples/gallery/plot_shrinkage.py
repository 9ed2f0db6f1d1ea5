"""
No pooling, complete pooling, partial pooling
=============================================

How good is a subject's own average, when there are few days to take it of? Eighteen
sleepless people had their reaction times measured on ten days. Here only the first
three days of each are known, and the other seven are to be predicted.
"""

# %%
# Three ways to give every subject a level: its own (*no pooling*, an effect for each,
# as one-hot columns would have), none (*complete pooling*), and a random intercept,
# which is between the two (*partial pooling*). The model is one line, and the line's
# slope is common.

import matplotlib.pyplot as plt
import numpy as np

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy

days, reaction, subjects = load_sleepstudy(return_X_y_groups=True)
known = days[:, 0] < 3
models = {
    "no pooling": HeteroscedasticGaussianRegressor(
        mean_groups="fixed", variance_features=[]
    ),
    "complete pooling": HeteroscedasticGaussianRegressor(
        mean_groups=None, variance_features=[]
    ),
    "partial pooling": RandomInterceptRegressor(),
}
predicted = {}
for name, model in models.items():
    model.fit(days[known], reaction[known], groups=subjects[known])
    predicted[name] = model.predict(np.ones((18, 1)), groups=np.unique(subjects))
    error = reaction[~known] - model.predict(days[~known], groups=subjects[~known])
    print(f"{name:17} root mean squared error {np.sqrt(np.mean(error**2)):.1f} ms")

# %%
# The random intercepts are the subjects' own levels, drawn towards the common one: by
# the same part for all, since all have three days. Which part, the two variances say.

partial = models["partial pooling"]
shrinkage = partial.group_variance_ / (
    partial.group_variance_ + partial.noise_variance_ / 3
)
print(f"kept of the distance from the common level: {shrinkage:.0%}")

order = np.argsort(predicted["no pooling"])
place = np.arange(18)
figure, ax = plt.subplots(figsize=(6.4, 5), layout="constrained")
ax.axvline(predicted["complete pooling"][0], color="0.5", label="complete pooling")
ax.plot(predicted["no pooling"][order], place, "o", mfc="none", label="no pooling")
ax.plot(predicted["partial pooling"][order], place, "o", label="partial pooling")
for k, i in enumerate(order):
    ends = predicted["no pooling"][i], predicted["partial pooling"][i]
    ax.plot(ends, [k, k], color="0.7", zorder=0)
ax.set_yticks(place, partial.groups_[order])
ax.set(xlabel="predicted reaction time on day 1 (ms)", ylabel="subject")
ax.set_title("Eighteen subjects, three days each")
ax.legend()

# %%
# (Subjects differ in their slopes as well, which a random intercept does not know;
# lme4's ``Reaction ~ Days + (Days | Subject)`` does.)
