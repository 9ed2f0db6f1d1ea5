import matplotlib.pyplot as plt

from skmixed import LinearMixedRegressor, RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy
from skmixed.inspection import ResidualsDisplay

X, y, subjects = load_sleepstudy(return_X_y_groups=True, as_frame=True)
levels = RandomInterceptRegressor().fit(X, y, groups=subjects)
slopes = LinearMixedRegressor("(Days | Subject)").fit(X, y, groups=subjects)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for axis, model in zip(axes, (levels, slopes), strict=True):
    ResidualsDisplay.from_estimator(model, X, y, groups=subjects, ax=axis)
axes[0].set_title("levels of subjects")
axes[1].set_title("levels and slopes")
