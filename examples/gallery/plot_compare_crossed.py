"""
Subjects and items: which model, for which question?
====================================================

Readers see words, each of them in one of two conditions. A row belongs to a subject and
to an item, and a model may be asked about four kinds of rows: subjects and items that
it knows, new subjects, new items, and both new. One call asks all four questions of all
models.
"""

# %%
# An experiment with 40 subjects and 30 items. Subjects and items differ in level, and
# in how much the condition slows them down.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from skmixed import LinearMixedRegressor
from skmixed.inspection import PredictiveCalibrationDisplay
from skmixed.model_selection import cross_validate_groups

rng = np.random.default_rng(7)
n_subjects, n_items = 40, 30
subject, item = np.divmod(np.arange(n_subjects * n_items), n_items)
cond = np.where((subject + item) % 2, 0.5, -0.5)
length = rng.integers(3, 11, n_items)[item].astype(float)
of_subject = rng.normal(size=(n_subjects, 2)) * [60, 40]
of_item = rng.normal(size=(n_items, 2)) * [35, 25]
rt = 500 + 12 * length + 45 * cond + 50 * rng.normal(size=len(subject))
for effects, label in ((of_subject, subject), (of_item, item)):
    rt += effects[label, 0] + effects[label, 1] * cond

labels = pd.DataFrame({"subject": subject, "item": item})
X = pd.DataFrame({"cond": cond, "length": length}).join(labels)

# %%
# The trees get the labels as categories. The mixed models get them as `groups`, and
# leave the columns alone: `mean_features` says which are features.

mean = {"mean_features": ["cond", "length"]}
models = {
    "boosted trees": HistGradientBoostingRegressor(
        max_iter=60, categorical_features=["subject", "item"], random_state=0
    ),
    "subjects": LinearMixedRegressor("(1 | subject)", **mean),
    "crossed": LinearMixedRegressor("(1 | subject) + (1 | item)", **mean),
    "with slopes": LinearMixedRegressor("(cond | subject) + (cond | item)", **mean),
}
comparison = cross_validate_groups(models, X, rt, groups=labels, cv_known=3, cv_new=3)
print(comparison)

# %%
# The shares say that each block asks what it should: with shuffled rows every test row
# has a subject and an item that the model knows, and in the last block none has.
#
# *Known subjects and items.* The model with slopes is best. The trees find in the
# labels nearly what crossed levels say, but no slopes, and they say nothing about
# errors. A model of subjects only takes the items for noise.
#
# *New subjects.* Their levels and slopes are unknown to all models, and so the errors
# are much larger; what is known of the items is still worth something, to the trees as
# well.
#
# *New items.* The trees have no rule for a label that they have not seen, and lose more
# than the items' effects; the mixed models predict an average item. Subjects alone do
# as well as both factors row by row, but the rows of a new item have a common effect,
# which only the *joint* likelihood hears: 5.59 a row without it, 5.43 with it.
#
# *Both new.* No model can know more than condition and length, and row by row the mixed
# models score the same. They differ in what they say about rows together: the joint
# likelihood prefers the truth, slopes of subjects and items.

frame = comparison.to_frame()
joint = frame["joint_nll"].unstack(0)[list(comparison.unseen)]
ax = joint.loc[list(models)[1:]].T.plot(style="o", figsize=(7, 3.5))
ax.set(ylabel="joint negative log-likelihood a row", xlim=(-0.4, 3.4), xlabel="")
ax.set_xticks(range(joint.shape[1]), joint.columns)
ax.legend(title=None)
ax.figure.set_layout_engine("constrained")

# %%
# Is the best model's spread right for each kind of rows? The picture draws them apart,
# here for the first 25 subjects and 20 items as those that the model knows.

old = (subject < 25) & (item < 20)
model = models["with slopes"].fit(X[old], rt[old], groups=labels[old])
display = PredictiveCalibrationDisplay.from_estimator(
    model, X[~old], rt[~old], groups=labels[~old], kind="coverage"
)
plt.show()
