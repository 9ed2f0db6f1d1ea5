"""
Ratings: users, items and how sure we are of them
=================================================

Users rate items, each a few of many. Both are crossed factors with thousands of levels,
and most pairs never met. A mixed model ranks the items with what is known about each of
them: an item with three ratings is not the best one because all three were good.
"""

# %%
# Simulated ratings: 12,000 users and 6,000 items, whose popularity falls as in Zipf's
# law. A rating depends on the user's mood (some give more stars), the item's quality,
# and the item's age.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmixed import LinearMixedRegressor

rng = np.random.default_rng(0)
n, n_users, n_items = 80_000, 12_000, 6_000
popularity = 1 / (10 + np.arange(n_items))
item = rng.choice(n_items, n, p=popularity / popularity.sum())
user = rng.integers(n_users, size=n)
mood, quality = 0.5 * rng.normal(size=n_users), 0.4 * rng.normal(size=n_items)
age = rng.exponential(5, size=n_items)
stars = 3.5 + mood[user] + quality[item] - 0.03 * age[item] + 0.8 * rng.normal(size=n)
ratings = pd.DataFrame({"user": user, "item": item, "age": age[item], "stars": stars})

# %%
# Both factors have a random intercept. There are more than 5,000 effects beside those
# of the larger factor, so that the solver is the iterative one: no matrix of all items
# is formed. The column ``mc_error`` says how far its random probes may have moved a
# standard deviation: less than the data leave open by far.

model = LinearMixedRegressor("(1 | user) + (1 | item)")
model.fit(ratings[["age"]], ratings["stars"], groups=ratings[["user", "item"]])
print(model.summary())

# %%
# The items with the best averages are those that few have rated. The model draws them
# to what items are like in general, the more the fewer ratings they have, and says how
# much is not known of them.

of_item = ratings.groupby("item")["stars"].agg(["mean", "size"])
table = model.random_effects_table("item").to_frame()
table.index = table.index.astype(int)
table = table.join(of_item)
print(table.nlargest(5, "mean").round(2))
print(table.nlargest(5, "intercept").round(2))

# %%
# Which is nearer to the truth that the simulation knows?

average = table["mean"] - table["mean"].mean()
truth = quality[table.index]
effect = table["intercept"] - table["intercept"].mean()
for name, guess in (("average", average), ("effect of the model", effect)):
    print(f"{name}: error {np.sqrt(np.mean((guess - truth) ** 2)):.2f} stars")

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.semilogx(table["size"], average, ".", color="0.7", ms=3, label="average rating")
ax.semilogx(table["size"], effect, ".", color="C0", ms=3, label="effect of the model")
ax.set(xlabel="ratings of the item", ylabel="difference from other items (stars)")
_ = ax.legend()

# %%
# How will a user rate an item? With a known user and a known item the prediction is
# sharpest. A new user, or a new item, brings the whole variance of users, or of items.

some = {"user": int(ratings["user"].mode()[0]), "item": int(ratings["item"].mode()[0])}
asked = pd.DataFrame(
    [some, some | {"user": None}, some | {"item": None}, {"user": None, "item": None}],
    index=["both known", "new user", "new item", "both new"],
    dtype=object,
)
mean, std = model.predict_mean(
    pd.DataFrame({"age": np.full(4, 5.0)}), groups=asked, return_std=True
)
print(pd.DataFrame({"stars": mean, "std": std}, index=asked.index).round(2))
