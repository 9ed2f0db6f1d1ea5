import matplotlib.pyplot as plt

from skmixed import RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy
from skmixed.inspection import ResidualScaleDisplay, ResidualsDisplay

X, y, subjects = load_sleepstudy(return_X_y_groups=True, as_frame=True)
model = RandomInterceptRegressor().fit(X, y, groups=subjects)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
ResidualsDisplay.from_estimator(model, X, y, groups=subjects, ax=axes[0])
ResidualScaleDisplay.from_estimator(model, X, y, groups=subjects, ax=axes[1])
