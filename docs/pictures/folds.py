"""Which rows are held out by the folds of two splitters, group by group."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GroupKFold

from skmixed.model_selection import WithinGroupKFold

groups = np.repeat(np.arange(6), 6)
splitters = {
    "known groups: WithinGroupKFold(3)": WithinGroupKFold(3),
    "new groups: GroupKFold(3)": GroupKFold(3),
}
figure, axes = plt.subplots(2, 1, figsize=(8, 3.2), layout="constrained", sharex=True)
for axis, (title, splitter) in zip(axes, splitters.items(), strict=True):
    held_out = np.zeros((3, len(groups)))
    for fold, (_, test) in enumerate(splitter.split(groups, groups=groups)):
        held_out[fold, test] = 1.0
    axis.pcolormesh(held_out, cmap="Blues", vmin=-0.15, vmax=1.3, edgecolors="w", lw=1)
    axis.vlines(np.arange(6, 36, 6), 0, 3, color="0.2", lw=1)
    axis.set_title(f"{title}; filled rows are predicted", fontsize="medium", loc="left")
    axis.set_yticks([0.5, 1.5, 2.5], ["fold 1", "fold 2", "fold 3"])
    axis.invert_yaxis()
axes[1].set_xticks(np.arange(3, 36, 6), [f"group {g}" for g in "ABCDEF"])
