"""
Data larger than memory
=======================

``partial_fit`` takes data in batches and is exact: after the last batch the model is
that of a ``fit`` on all rows, whatever their order and however groups are spread over
the batches. One figure for each group and column is kept of the rows.
"""

# %%
# Ten batches of 20,000 rows that are made, used and forgotten. (With the extra ``dask``
# the batches may be partitions on the machines of a cluster: ``fit`` takes Dask arrays
# and dataframes.)

import matplotlib.pyplot as plt
import numpy as np

from skmixed import RandomInterceptRegressor

N_STORES, N_ROWS = 2_000, 20_000
levels = np.random.default_rng(0).normal(size=N_STORES)


def read_batch(number):
    """One day of sales: two features, the logarithm of sales, the store."""
    rng = np.random.default_rng([1, number])
    store = rng.integers(N_STORES, size=N_ROWS)
    X = rng.normal(size=(N_ROWS, 2))
    X[:, 1] += number / 5  # batches differ
    y = 3 + X @ [0.5, -0.2] + levels[store] + 2 * rng.normal(size=N_ROWS)
    return X, y, store


model = RandomInterceptRegressor()
history = []
for number in range(10):
    X, y, store = read_batch(number)
    model.partial_fit(X, y, groups=store)
    history.append([model.coef_[1], model.coef_std_[1], model.group_variance_])

# %%
# The same rows at once, which here is still possible:

batches = [read_batch(number) for number in range(10)]
X, y, store = map(np.concatenate, zip(*batches, strict=True))
whole = RandomInterceptRegressor().fit(X, y, groups=store)
difference = np.abs(model.coef_ - whole.coef_).max()
print(f"largest difference of the coefficients: {difference:.0e}")
print(f"log-likelihoods {model.log_likelihood_:.6f} and {whole.log_likelihood_:.6f}")

# %%
# The coefficients and variances that were known after each batch:

coef, std, variance = np.array(history).T
batches = np.arange(1, 11)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
axes[0].errorbar(batches, coef, yerr=1.96 * std, fmt="o")
axes[0].axhline(-0.2, color="0.5", label="truth")
axes[0].set(xlabel="batches", title="a coefficient, with its 95 % interval")
axes[0].legend()
axes[1].plot(batches, variance, "o-")
axes[1].axhline(1, color="0.5", label="truth")
axes[1].set(xlabel="batches", title="variance of the stores")
axes[1].legend()
