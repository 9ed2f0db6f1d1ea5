"""Six subjects: their own lines, those of the model, and that of a new subject."""

import matplotlib.pyplot as plt

from skmixed import LinearMixedRegressor
from skmixed.datasets import load_sleepstudy
from skmixed.inspection import GroupLinesDisplay

X, y, subjects = load_sleepstudy(return_X_y_groups=True, as_frame=True)
model = LinearMixedRegressor("(Days | Subject)").fit(X, y, groups=subjects)
figure, axes = plt.subplots(
    2, 3, figsize=(9, 5), layout="constrained", sharex=True, sharey=True
)
GroupLinesDisplay.from_estimator(model, X, y, "Days", groups=subjects, ax=axes.ravel())
