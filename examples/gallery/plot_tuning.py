"""
Tuning by a proper score
========================

A ridge penalty chosen in ``GridSearchCV`` by the negative log-likelihood of the
predictions, which asks for the right mean *and* the right standard deviation; with the
groups on their way through a Pipeline.
"""

# %%
# 40 groups, 30 features of which three matter, and not many rows.

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmixed import RandomInterceptRegressor
from skmixed.metrics import neg_nll_scorer, r2_scorer

rng = np.random.default_rng(0)
groups = np.repeat(np.arange(40), 4)
X = rng.normal(size=(160, 30))
y = X[:, :3].sum(axis=1) + rng.normal(size=40)[groups] + 2 * rng.normal(size=160)

# %%
# Metadata routing hands ``groups`` to the model, to the splitter and to the scorers:
# all of them ask for it by themselves.

pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
search = GridSearchCV(
    pipe,
    {"randominterceptregressor__alpha": np.geomspace(0.1, 1e4, 16)},
    scoring={"nll": neg_nll_scorer, "r2": r2_scorer},
    refit="nll",
    cv=GroupKFold(5),
)
with sklearn.config_context(enable_metadata_routing=True):
    search.fit(X, y, groups=groups)
print(search.best_params_)

# %%
# New groups are what ``GroupKFold`` asks about. The two scores need not agree on the
# best penalty: one looks at the mean alone.

alphas = search.cv_results_["param_randominterceptregressor__alpha"].astype(float)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
titles = {"nll": "negative log-likelihood", "r2": "$R^2$"}
for ax, (name, title) in zip(axes, titles.items(), strict=True):
    score = search.cv_results_[f"mean_test_{name}"]
    score = -score if name == "nll" else score
    best = np.argmin(score) if name == "nll" else np.argmax(score)
    ax.plot(alphas, score, "o-")
    ax.plot(alphas[best], score[best], "o", color="C1", markersize=9)
    ax.set(xscale="log", xlabel="alpha", title=f"{title}, new groups")

# %%
# A tool that routes nothing takes the labels as a column of X instead:
# ``RandomInterceptRegressor(group_feature="school")``.
