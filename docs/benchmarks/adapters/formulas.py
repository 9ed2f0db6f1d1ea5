"""Data and models in the form that packages with formulas like."""

import numpy as np


def frame(data):
    """A DataFrame with y, the features x0, x1, ..., and categorical labels."""
    import pandas as pd

    names = [f"x{j}" for j in range(data.X.shape[1])]
    table = pd.DataFrame(data.X, columns=names)
    table["y"] = data.y
    for factor, labels in data.labels.items():
        table[factor] = pd.Categorical(labels)
    return table


def formula(problem):
    """The model in the notation of lme4."""
    names = [f"x{j}" for j in range(problem.n_features)]
    return f"y ~ {' + '.join(names)} + {problem.random}"


def design(data):
    """The features behind a column of ones."""
    return np.column_stack([np.ones(len(data.y)), data.X])
