import matplotlib.pyplot as plt

from skmixed import LinearMixedRegressor, RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy
from skmixed.inspection import ResidualsDisplay

X, y, subjects = load_sleepstudy(return_X_y_groups=True, as_frame=True)
levels = RandomInterceptRegressor().fit(X, y, groups=subjects)
slopes = LinearMixedRegressor("(Days | Subject)").fit(X, y, groups=subjects)
figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
for pair, feature in zip(axes, (None, "Days"), strict=True):
    for axis, model in zip(pair, (levels, slopes), strict=True):
        ResidualsDisplay.from_estimator(
            model, X, y, groups=subjects, feature=feature, ax=axis
        )
axes[0, 0].set_title("levels of subjects")
axes[0, 1].set_title("levels and slopes")
for axis in axes[1]:
    axis.set_title("")
