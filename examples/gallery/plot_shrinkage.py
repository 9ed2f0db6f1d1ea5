"""
No pooling, complete pooling, partial pooling
=============================================

How good is a subject's own average, when there are few days to take it of? Eighteen
sleepless people had their reaction times measured on ten days. Here only two days of
each are known, and the other eight are to be predicted.
"""

# %%
# Three ways to give every subject a level: its own (*no pooling*, an effect for each,
# as one-hot columns would have), none (*complete pooling*), and a random intercept,
# which is between the two (*partial pooling*). The model is one line, and the line's
# slope is common. Which two days are known is drawn a hundred times.

import matplotlib.pyplot as plt
import numpy as np

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy

days, reaction, subjects = load_sleepstudy(return_X_y_groups=True)
models = {
    "no pooling": HeteroscedasticGaussianRegressor(
        mean_groups="fixed", variance_features=[]
    ),
    "complete pooling": HeteroscedasticGaussianRegressor(
        mean_groups=None, variance_features=[]
    ),
    "partial pooling": RandomInterceptRegressor(),
}


def draw_known(seed, n_days=2):
    """A mask of the rows that are known: some days of each subject."""
    order = np.random.default_rng(seed).random((18, 10)).argsort(axis=1)
    return (order < n_days).ravel()  # rows are sorted by subject


errors = {name: [] for name in models}
for seed in range(100):
    known = draw_known(seed)
    for name, model in models.items():
        model.fit(days[known], reaction[known], groups=subjects[known])
        predicted = model.predict(days[~known], groups=subjects[~known])
        errors[name].append(np.mean((reaction[~known] - predicted) ** 2))
for name, squares in errors.items():
    print(f"{name:17} root mean squared error {np.sqrt(np.mean(squares)):.1f} ms")

# %%
# The random intercepts of the last draw: the subjects' own levels, drawn towards the
# common one, by the same part for all, since all have two days. Which part, the two
# variances say.

partial = models["partial pooling"]
kept = partial.group_variance_ / (partial.group_variance_ + partial.noise_variance_ / 2)
print(f"kept of the distance from the common level: {kept:.0%}")

levels = {
    name: model.predict(np.full((18, 1), 4.5), groups=partial.groups_)
    for name, model in models.items()
}
order = np.argsort(levels["no pooling"])
place = np.arange(18)
figure, ax = plt.subplots(figsize=(6.4, 5), layout="constrained")
ax.axvline(levels["complete pooling"][0], color="0.5", label="complete pooling")
ax.plot(levels["no pooling"][order], place, "o", mfc="none", label="no pooling")
ax.plot(levels["partial pooling"][order], place, "o", label="partial pooling")
for k, i in enumerate(order):
    ends = levels["no pooling"][i], levels["partial pooling"][i]
    ax.plot(ends, [k, k], color="0.7", zorder=0)
ax.set_yticks(place, partial.groups_[order])
ax.set(xlabel="predicted reaction time at 4.5 days (ms)", ylabel="subject")
ax.set_title("Eighteen subjects, two days each")
ax.legend()

# %%
# (Subjects differ in their slopes as well, which a random intercept does not know;
# ``LinearMixedRegressor("(Days | Subject)")`` does.)
