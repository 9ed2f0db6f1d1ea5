"""
One-hot columns, target encoding, boosted trees, or a mixed model?
==================================================================

The heights of 26 boys, nine times each.  Five models are compared by one call, on rows
of boys that were in the data and on boys that were not: three ways to hand the boy to
scikit-learn's regressors, and two mixed models.
"""

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from skmixed import LinearMixedRegressor, RandomInterceptRegressor
from skmixed.datasets import load_oxboys
from skmixed.model_selection import cross_validate_groups


def behind(encoder, regressor):
    """The regressor, on the features and the encoded boy."""
    encode = make_column_transformer((encoder, ["boy"]), remainder="passthrough")
    return make_pipeline(encode, regressor)


def main():
    """Compare the models, print the table."""
    data = load_oxboys(as_frame=True).frame
    one_hot = OneHotEncoder(handle_unknown="ignore")
    np.random.seed(0)  # noqa: NPY002 - TargetEncoder deals its folds by it
    target = TargetEncoder(target_type="continuous")
    trees = HistGradientBoostingRegressor(random_state=0)
    models = {
        "one-hot columns": behind(one_hot, LinearRegression()),
        "target encoding": behind(target, LinearRegression()),
        "boosted trees": behind(target, trees),
        "random intercept": RandomInterceptRegressor(group_feature="boy"),
        "  and slope": LinearMixedRegressor("(age | boy)", group_features=["boy"]),
    }
    X, height, boy = data[["age", "boy"]], data["height"], data["boy"]
    print(cross_validate_groups(models, X, height, groups=boy))


if __name__ == "__main__":
    main()
