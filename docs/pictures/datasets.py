"""Two data sets whose groups differ much: a line for each group."""

import matplotlib.pyplot as plt

from skmixed.datasets import load_grunfeld, load_oxboys

boys = load_oxboys()
firms = load_grunfeld()
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for boy in range(1, 27):
    own = boys.groups == boy
    axes[0].plot(boys.data[own, 0], boys.target[own], color="C0", lw=1)
axes[0].set(title="26 boys", xlabel="age (standardised)", ylabel="height (cm)")
for firm in range(1, 12):
    own = firms.groups == firm
    axes[1].plot(firms.data[own, 0], firms.target[own], ".", ms=4)
axes[1].set(title="11 firms", xlabel="market value", ylabel="investment")
axes[1].set(xscale="log", yscale="log")
for axis in axes:
    axis.spines[["top", "right"]].set_visible(False)
