"""
A model in use meets a new patient
==================================

A fitted model knows nothing of the level of a new group. When its first measurements
come in, ``update_random_intercepts`` learns that level at once, without a new fit:
coefficients and variances stay as they are.
"""

# %%
# The reaction times of seventeen subjects make the model; the eighteenth comes in day
# by day. The model is the last step of a Pipeline, so that its rows are transformed
# first.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmixed import RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy
from skmixed.inspection import predict_interval

days, reaction, subjects = load_sleepstudy(return_X_y_groups=True)
patient = 337
old = subjects != patient
pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
pipe.fit(days[old], reaction[old], randominterceptregressor__groups=subjects[old])

own_days, own = days[~old], reaction[~old]
label = np.array([patient])
means, ends = [], []
for day in range(10):
    X_day = own_days[day : day + 1]
    low, high = predict_interval(pipe, X_day, groups=label)[0]
    means.append((low + high) / 2)
    ends.append([low, high])
    # The day is over, and the measurement is there.
    pipe[-1].update_random_intercepts(
        pipe[:-1].transform(X_day), own[day : day + 1], groups=label
    )

# %%
# Each interval was made before its day. At first the subject could be anybody; after a
# few days the model knows it for a slow one. (It gets slower still: its slope is its
# own too, which a random intercept does not know, and takes for noise.)

figure, ax = plt.subplots(layout="constrained")
ax.vlines(range(10), *np.array(ends).T, linewidth=8, alpha=0.25, label="90 % interval")
ax.plot(range(10), means, "_", markersize=14, color="C0", label="predicted")
ax.plot(range(10), own, "o", color="C3", label="observed afterwards")
ax.set(xlabel="day", ylabel="reaction time (ms)")
ax.set_title(f"Subject {patient}, one day ahead")
ax.legend(loc="upper left")

# %%
# The result is what the model would know had it seen the rows in ``fit``, at the same
# variances and coefficients. A later ``fit`` or ``partial_fit`` with all rows moves
# those, too.

model = pipe[-1]
(level,) = model.random_intercepts_[model.groups_ == patient]
print(f"level of the subject: {level:.1f} ms")
