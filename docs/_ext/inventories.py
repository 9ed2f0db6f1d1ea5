"""Sphinx extension: links into other packages' documentation, without a network.

The names that the pages link to, and where each package keeps the page of a name, are
stored here; intersphinx reads the inventories that are written from them.
"""

import zlib
from pathlib import Path

PACKAGES = {
    "sklearn": (
        "https://scikit-learn.org/stable/",
        "modules/generated/{}.html",
        {
            "class": (
                "sklearn.compose.ColumnTransformer",
                "sklearn.compose.TransformedTargetRegressor",
                "sklearn.ensemble.HistGradientBoostingRegressor",
                "sklearn.linear_model.BayesianRidge",
                "sklearn.linear_model.LinearRegression",
                "sklearn.linear_model.Ridge",
                "sklearn.model_selection.GridSearchCV",
                "sklearn.model_selection.GroupKFold",
                "sklearn.model_selection.KFold",
                "sklearn.pipeline.Pipeline",
                "sklearn.preprocessing.OneHotEncoder",
                "sklearn.preprocessing.SplineTransformer",
                "sklearn.preprocessing.StandardScaler",
                "sklearn.preprocessing.TargetEncoder",
                "sklearn.utils.Bunch",
            ),
            "function": (
                "sklearn.base.clone",
                "sklearn.config_context",
                "sklearn.model_selection.cross_val_predict",
                "sklearn.model_selection.cross_val_score",
                "sklearn.model_selection.cross_validate",
                "sklearn.set_config",
            ),
        },
    ),
    "numpy": (
        "https://numpy.org/doc/stable/",
        "reference/generated/{}.html",
        {
            "class": ("numpy.ndarray",),
            "function": ("numpy.column_stack", "numpy.linalg.lstsq"),
        },
    ),
    "pandas": (
        "https://pandas.pydata.org/docs/",
        "reference/api/{}.html",
        {
            "class": ("pandas.Categorical", "pandas.DataFrame", "pandas.Series"),
            "function": ("pandas.read_csv",),
        },
    ),
}


def write_inventory(path, name, pattern, roles):
    """Write an inventory of version 2, as intersphinx reads them."""
    lines = [
        f"{entry} py:{role} 1 {pattern.format(entry)}#{entry} -\n"
        for role, entries in roles.items()
        for entry in entries
    ]
    head = "# Sphinx inventory version 2\n# Project: {}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    body = zlib.compress("".join(lines).encode())
    path.write_bytes(head.format(name).encode() + body)


def map_packages(app, config):
    """Write the inventories, and tell intersphinx where they are."""
    mapping = {}
    folder = Path(app.doctreedir).parent / "inventories"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (url, pattern, roles) in PACKAGES.items():
        path = folder / f"{name}.inv"
        write_inventory(path, name, pattern, roles)
        mapping[name] = (url, str(path))
    config.intersphinx_mapping = mapping


def setup(app):
    app.setup_extension("sphinx.ext.intersphinx")
    before_intersphinx = 700  # its own handler has 800
    app.connect("config-inited", map_packages, priority=before_intersphinx)
    return {"version": "1", "parallel_read_safe": True}
