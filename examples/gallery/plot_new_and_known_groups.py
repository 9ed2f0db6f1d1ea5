"""
Groups that the model knows, and new ones
=========================================

A prediction for a school that was in the data and one for a school that was not are two
different things: the second does not know the level of the school, and its standard
deviation has to say so.
"""

# %%
# Mathematics achievement of 7,185 pupils in 160 American high schools (High School and
# Beyond, 1982). A quarter of the schools is kept back, and a fifth of the pupils of the
# others.

import matplotlib.pyplot as plt
import numpy as np

from skmixed import RandomInterceptRegressor
from skmixed.datasets import load_hsb82
from skmixed.inspection import PredictiveCalibrationDisplay, RandomInterceptsDisplay

X, y, schools = load_hsb82(return_X_y_groups=True)
rng = np.random.default_rng(0)
labels = np.unique(schools)
new = np.isin(schools, rng.choice(labels, size=40, replace=False))
held_back = ~new & (rng.random(len(y)) < 0.2)
train = ~new & ~held_back

model = RandomInterceptRegressor().fit(X[train], y[train], groups=schools[train])
questions = {
    "known schools": (held_back, schools[held_back]),
    "the same, school not told": (held_back, np.full(held_back.sum(), None)),
    "new schools": (new, schools[new]),
}
for name, (rows, labels) in questions.items():
    mean, std = model.predict(X[rows], groups=labels, return_std=True)
    r2 = model.score(X[rows], y[rows], groups=labels)
    inside = np.mean(np.abs(y[rows] - mean) < 1.645 * std)
    print(f"{name:26} R^2 {r2:.3f}, std {std.mean():.2f}, 90 % hold {inside:.1%}")

# %%
# The first two lines are the same pupils, with and without their school; the third are
# other pupils. The model has learned this of the schools, pupils being equal and beside
# what the sector and the mean status of a school say (which are features):

RandomInterceptsDisplay.from_estimator(model)

# %%
# And whether its distribution is right for both kinds. Pupils' scores have a ceiling
# and are not quite normal, which shows in the same way for both:

rows = held_back | new
PredictiveCalibrationDisplay.from_estimator(
    model, X[rows], y[rows], groups=schools[rows], kind="coverage"
)

# %%
# The mean of a whole new school is where independent errors go wrong most. The joint
# distribution of its pupils has one level for all of them:

first = np.unique(schools[new])[0]
pupils = schools == first
mean, covariance = model.predict(X[pupils], groups=schools[pupils], return_cov=True)
n = pupils.sum()
of_mean = np.sqrt(covariance.mean())
independent = np.sqrt(np.trace(covariance)) / n
print(f"{n} pupils of a new school: std of their mean {of_mean:.2f}, ")
print(f"{independent:.2f} if they were independent")
plt.show()
