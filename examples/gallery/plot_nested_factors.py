"""
Casks in batches, machines in workers: nested factors
=====================================================

A factor is nested in another if each of its labels belongs to one label of the other:
casks to batches, classes to schools. ``(1 | batch/cask)`` says so, whether the labels
of casks are reused in every batch or not.
"""

# %%
# Strength of a paste, from three casks of each of ten batches, each assayed twice
# (Davies and Goldsmith 1972). The casks are called a, b and c in every batch: cask a of
# one batch has nothing to do with cask a of another.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmixed import LinearMixedRegressor

strength = np.array(
    [
        [62.8, 62.6, 60.1, 62.3, 62.7, 63.1],
        [60.0, 61.4, 57.5, 56.9, 61.1, 58.9],
        [58.7, 57.5, 63.9, 63.1, 65.4, 63.7],
        [57.1, 56.4, 56.9, 58.6, 64.7, 64.5],
        [55.1, 55.1, 54.7, 54.2, 58.8, 57.5],
        [63.4, 64.9, 59.3, 58.1, 60.5, 60.0],
        [62.5, 62.6, 61.0, 58.7, 56.9, 57.7],
        [59.2, 59.4, 65.2, 66.0, 64.8, 64.1],
        [54.8, 54.8, 64.0, 64.0, 57.7, 56.8],
        [58.3, 59.3, 59.2, 59.2, 58.9, 56.6],
    ]
)
data = pd.DataFrame(
    {
        "batch": np.repeat(list("ABCDEFGHIJ"), 6),
        "cask": np.tile(list("aabbcc"), 10),
        "strength": strength.ravel(),
    }
)
X = np.empty((len(data), 0))  # an intercept is all that the mean has
labels = data[["batch", "cask"]]
model = LinearMixedRegressor("(1 | batch/cask)")
model = model.fit(X, data["strength"], groups=labels)
print(model.summary())

# %%
# Casks of a batch differ more than batches do, and two assays of a cask hardly differ:
# who wants to know the strength of a batch opens more casks and assays each once.

effects = model.random_effects_["batch:cask"][:, 0]
by_batch = dict(
    zip(model.groups_["batch"], model.random_effects_["batch"], strict=True)
)
figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for k, (batch, level) in enumerate(by_batch.items()):
    mean = model.intercept_ + level[0]
    ax.plot([k - 0.4, k + 0.4], [mean, mean], color="C1", lw=3)
    casks = [
        i for i, label in enumerate(model.groups_["batch:cask"]) if label[0] == batch
    ]
    for j, i in enumerate(casks):
        at = k + 0.25 * (j - 1)
        ax.plot([at - 0.1, at + 0.1], [mean + effects[i]] * 2, color="C0", lw=2)
        ax.plot([at, at], strength[k, 2 * j : 2 * j + 2], ".", color="0.4")
ax.axhline(model.intercept_, color="0.8", zorder=0)
ax.set_xticks(range(10), list(by_batch))
ax.set(xlabel="batch", ylabel="strength")
ax.set_title("Assays (points), casks (blue), batches (orange)")

# %%
# Written as two factors that cross, ``(1 | batch) + (1 | cask)``, the model takes all
# casks called a for one: it fits without complaint, and is wrong. The summary says what
# it sees.

crossed = LinearMixedRegressor("(1 | batch) + (1 | cask)")
crossed = crossed.fit(X, data["strength"], groups=labels)
print(crossed.summary().notes[-1])
lost = model.log_likelihood_ - crossed.log_likelihood_
print(f"log-likelihood lost: {lost:.1f}")

# %%
# A new assay of a cask that is known, of a new cask of a known batch, and of a new
# batch: each time less is known.

asked = pd.DataFrame(
    {"batch": ["A", "A", "K"], "cask": ["a", "new", "new"]},
    index=["known cask", "new cask, known batch", "new batch"],
)
mean, std = model.predict(np.empty((3, 0)), groups=asked, return_std=True)
for name, m, s in zip(asked.index, mean, std, strict=True):
    print(f"{name:22} {m:.1f} +- {s:.1f}")
