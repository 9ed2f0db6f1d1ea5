"""Sentences about the limits of the data, and words that several messages use."""

NO_GROUPS = (
    "No `groups` were given, so the model has no group effects: pass `groups=` (inside "
    "scikit-learn's tools with enable_metadata_routing=True) or set `group_feature`."
)
LABELS_IGNORED = (
    "Group labels are ignored: the model was fitted without `groups`, so it knows no "
    "groups."
)
NO_LABELS = "`groups` is None. An update needs a label for every row; pass `groups`."
NOT_JOINED = (
    "The model was fitted by `fit` in memory, which keeps no sums of its rows that "
    "others could join: it begins anew with these rows. Begin by partial_fit, fit all "
    "rows again, or learn effects alone by update_random_effects."
)
NOTHING_LEARNED = (
    "The group variance of the model is 0: the effects of groups stay 0, and nothing "
    "can be learned from these rows. Fit the model anew with them."
)


def forgotten_message(n_lost, update):
    """The warning of a fit to further rows after updates by a method of that name."""
    return (
        f"{count(n_lost, 'group')} that the model knew by {update} alone had no rows "
        "in any fit: what was learned of them is gone. Pass the rows of updates to "
        "partial_fit as well."
    )


def column_name(estimator, features, j):
    """The name of column j of [X y] in a message."""
    if j == len(features):
        return "y"
    position = features[j]
    names = getattr(estimator, "feature_names_in_", None)
    return f"Column {int(position) if names is None else names[position]!r} of X"


def count(number, noun):
    """'1 row', '2 rows'."""
    return f"{number:.12g} {noun}" if number == 1 else f"{number:.12g} {noun}s"


def exact_fit_message(n, rank, noise_std):
    """The warning of an exact fit."""
    cause = "y is fitted exactly: it is constant, or features and groups determine it"
    if n <= rank:
        cause = (
            f"{count(n, 'row')}, {count(rank, 'coefficient')}: no degrees of freedom "
            "left for the variance"
        )
    return (
        f"{cause}. The standard deviation of the noise that is left, "
        f"{noise_std:.2g}, is the rounding of y, and intervals mean nothing. Use more "
        "rows, fewer features or a larger alpha."
    )


def at_bounds_message(n_at_bounds, n_rows, factor, than, coarser, others=""):
    """The warning of rows whose noise is at the bounds of its range: `factor` times
    smaller or larger `than` some variance.  `coarser` is the last of the remedies, and
    `others` says what this does to other rows.
    """
    return (
        f"{n_at_bounds} of {count(n_rows, 'row')} have a noise variance at the bounds "
        f"or next to them, {1 / factor:.0e} and {factor:.0e} times {than}: where rows "
        f"can be fitted exactly, the likelihood has no maximum{others}. Leave out rows "
        "that are no matter of chance, or use fewer variance features, a larger "
        f"variance_alpha, or {coarser}."
    )


# A noise standard deviation of more than this many of y is none that y shows.
NOISY = 100


def noisy_message(n_noisy, n_rows):
    """The warning of rows whose fitted noise is far beyond the spread of y."""
    return (
        f"{n_noisy} of {count(n_rows, 'row')} "
        f"{'has' if n_noisy == 1 else 'have'} a fitted noise standard deviation of "
        f"more than {NOISY:g} times that of y: the log-variance is steep there, "
        "and standard deviations and intervals mean little, of new rows least of "
        "all. Use fewer variance features, features with fewer extremes, or a "
        "larger variance_alpha."
    )


def why_not_identified(labels, n_rows, columns):
    """The reason why the group variance cannot be told from the noise, or None."""
    if len(labels) == 1:
        if not columns.has_constant:
            return None
        return (
            f"There is one group only, {labels.tolist()[0]!r}: its random intercept "
            "duplicates the intercept, and the group variance is set to 0. Use two "
            "groups or more."
        )
    if len(labels) == n_rows:
        return (
            f"All {len(labels)} groups have one row each: their variance cannot be "
            "told from the noise, and is set to 0. Use coarser groups."
        )
    return (
        f"The features explain all differences between the {len(labels)} groups: "
        "nothing is left for the group variance, which is set to 0. Leave out features "
        "that are constant within groups."
    )
