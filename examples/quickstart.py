"""Reaction times of sleepless people: fit, look at the variances, predict.

Eighteen subjects did a reaction test on ten days of too little sleep.  Each of them has
a level of their own, the random intercept; a day costs everybody the same number of
milliseconds.  (Here subjects differ in that cost too, which a random-intercept model
leaves in its noise.)
"""

from pathlib import Path

import numpy as np

from skmixed import RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy

COVERAGE = 0.9
PICTURE = Path(__file__).with_suffix(".png")


def main():
    """Fit the model, print what it says, draw it."""
    days, reaction, subjects = load_sleepstudy(return_X_y_groups=True)
    model = RandomInterceptRegressor().fit(days, reaction, groups=subjects)
    print_components(model)
    print_predictions(model, labels=[352, 349, "unseen"])
    draw(model, days, reaction, subjects, labels=[352, 349, "unseen"])


def print_components(model):
    """Print coefficients and variance components."""
    print(f"reaction = {model.intercept_:.1f} + {model.coef_[0]:.2f} * day   (ms)")
    print(f"std between subjects   {model.group_variance_**0.5:6.1f} ms")
    print(f"std of the noise       {model.noise_variance_**0.5:6.1f} ms")
    print(f"intraclass correlation {model.intraclass_correlation_:6.2f}\n")


def predict(model, label, days):
    """Mean, std and interval for a subject; one without a label is a new one."""
    groups = [None if label == "unseen" else label] * len(days)
    mean, std = model.predict(days, groups=groups, return_std=True)
    interval = model.predict_interval(days, groups=groups, coverage=COVERAGE)
    return mean, std, interval


def print_predictions(model, labels, day=5.0):
    """Print a prediction for each subject."""
    print(f"day {day:.0f}     mean     std   {COVERAGE:.0%} interval   (ms)")
    for label in labels:
        mean, std, interval = predict(model, label, [[day]])
        low, high = interval[0]
        print(f"{label!s:7}{mean[0]:8.1f}{std[0]:8.1f}{low:9.1f} to {high:.1f}")


def draw(model, days, reaction, subjects, labels):
    """Draw data and predictions of each subject side by side."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("\n(pip install matplotlib, and this draws a picture too)")
        return
    grid = np.linspace(0, 9, 50)[:, None]
    figure, panels = plt.subplots(
        1, len(labels), figsize=(9, 3.7), sharex=True, sharey=True, layout="constrained"
    )
    for panel, label in zip(panels, labels, strict=True):
        mean, _, interval = predict(model, label, grid)
        own = subjects == label
        panel.plot(days[~own], reaction[~own], ".", color="0.8", label="other subjects")
        if own.any():
            panel.plot(days[own], reaction[own], "o", color="C3", label="this subject")
        panel.fill_between(
            grid[:, 0], *interval.T, alpha=0.25, label=f"{COVERAGE:.0%} interval"
        )
        panel.plot(grid, mean, label="mean")
        known = f"subject {label}, in the data"
        panel.set(title=known if own.any() else "a subject not in the data")
        panel.set_xlabel("day")
    panels[0].set_ylabel("reaction time (ms)")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(PICTURE, dpi=150)
    print(f"\nsaved {PICTURE}")


if __name__ == "__main__":
    main()
