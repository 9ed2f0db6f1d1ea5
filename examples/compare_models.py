"""
Which model, for known schools and for others?
==============================================

Mathematics scores of 7,185 pupils in 160 schools.  Five models are compared by one
call: two that know nothing of schools, one that takes the school as a category, and two
with random intercepts of schools, of which the last lets the noise depend on the pupil.
"""

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.pipeline import make_pipeline

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor
from skmixed.datasets import load_hsb82
from skmixed.model_selection import cross_validate_groups


def without_school(model):
    """The model behind a step that drops the last column."""
    return make_pipeline(make_column_transformer(("passthrough", slice(0, -1))), model)


def main():
    """Compare the models, print the table."""
    X, score, schools = load_hsb82(return_X_y_groups=True)
    number = np.unique(schools, return_inverse=True)[1]
    # The last column is the school, for those it helps.
    X = np.column_stack([X, number])
    models = {
        "least squares": without_school(LinearRegression()),
        "Bayesian ridge": without_school(BayesianRidge()),
        "boosted trees": HistGradientBoostingRegressor(
            categorical_features=[X.shape[1] - 1], max_iter=50, random_state=0
        ),
        "random intercept": RandomInterceptRegressor(group_feature=-1),
        "  and noise(x)": HeteroscedasticGaussianRegressor(group_feature=-1),
    }
    print(cross_validate_groups(models, X, score, groups=schools))


if __name__ == "__main__":
    main()
