"""Random intercepts with their intervals, and the profile of their std."""

import matplotlib.pyplot as plt

from skmixed import RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy
from skmixed.inspection import LikelihoodProfileDisplay, RandomInterceptsDisplay

X, y, subjects = load_sleepstudy(return_X_y_groups=True, as_frame=True)
model = RandomInterceptRegressor().fit(X, y, groups=subjects)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
RandomInterceptsDisplay.from_estimator(model, ax=axes[0])
LikelihoodProfileDisplay.from_estimator(model, ax=axes[1])
