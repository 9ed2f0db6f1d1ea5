"""Standard deviation of a prediction, as rows of its group become known."""

import matplotlib.pyplot as plt
import numpy as np

from skmixed import RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy

X, y, subjects = load_sleepstudy(return_X_y_groups=True)
model = RandomInterceptRegressor().fit(X, y, groups=subjects)
own = np.flatnonzero(subjects == subjects[0])
unseen, stds = [999], []
for row in (*own, None):
    _, std = model.predict([[5.0]], groups=unseen, return_std=True)
    stds.append(float(std[0]))
    if row is not None:
        model.update_random_intercepts(X[[row]], y[[row]], groups=unseen)
noise = model.noise_variance_**0.5
figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
axis.plot(stds, "o-")
axis.axhline(noise, color="0.5", ls="--")
axis.annotate("the noise alone", (len(own), noise - 0.5), ha="right", va="top")
axis.annotate("a new subject", (0.2, stds[0]), va="center")
axis.set(xlabel="days of the subject that are known", ylabel="std (ms)")
axis.set_ylim(bottom=noise - 4)
axis.spines[["top", "right"]].set_visible(False)
