"""Tests of hypotheses about fits: likelihood ratios, and linear combinations of
coefficients (docs/math.md, section 10).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from .._input.messages import count
from .summary import (
    LikelihoodRatioTest,
    Table,
    coefficient_table,
    number_text,
    p_sentence,
)

# Eigenvalues of the covariance of several combinations below this fraction of the
# largest are those of combinations that the others determine.
DEPENDENT = 1e-10
# A combination of which more than this fraction, relative, is outside of the row space
# of X is not estimable.
OUTSIDE = 1e-8
# Denominator degrees of freedom of several combinations that differ less are equal.
SAME_FREEDOM = 1e-8
# Numbers of rows, and figures of y, that differ by more than rounding, relative, are
# those of other rows.
SAME_ROWS = 1e-8
# Columns of one name that differ by more than this part of their spread are others.
# Single precision and batches leave less of a column that is far from zero.
SAME_COLUMN = 1e-3
# A log-likelihood that is lower by more than this is not that of a larger model.
NO_GAIN = 1e-6


def ratio_test(gain, df=1, at_boundary=True):
    """The test of a gain in log-likelihood by `df` parameters."""
    statistic = max(2 * float(gain), 0.0)
    p_value = stats.chi2.sf(statistic, df)
    if at_boundary:
        fewer = stats.chi2.sf(statistic, df - 1) if df > 1 else float(statistic == 0)
        p_value = 0.5 * (p_value + fewer)
    return LikelihoodRatioTest(statistic, float(p_value), df, at_boundary)


def compare_fits(smaller, larger, assume_nested=False):
    """The likelihood-ratio test of two nested fits, whose names need not show it if
    they are assumed to be.

    Raises
    ------
    ValueError
        If they are not nested as far as can be told, not of the same rows, or their
        criteria cannot be compared.
    """
    _check_criteria(smaller, larger)
    _check_rows(smaller, larger)
    df = larger.n_parameters - smaller.n_parameters
    fault = None if assume_nested else _why_not_nested(smaller, larger)
    if df < 0 or (df == 0 and not fault):
        raise ValueError(
            f"The smaller model has {smaller.n_parameters} parameters and the larger "
            f"{larger.n_parameters}: there is nothing to test. Pass the smaller first."
        )
    if fault:
        raise ValueError(
            f"{fault}: as far as can be told, the models are not nested. If the larger "
            "one contains the smaller all the same, as a factor contains a line in the "
            "same numbers, pass assume_nested=True."
        )
    gain = larger.log_likelihood - smaller.log_likelihood
    if gain < -NO_GAIN * max(1.0, abs(smaller.log_likelihood)):
        raise ValueError(
            f"The larger model has a log-likelihood of {larger.log_likelihood:.4f}, "
            f"the smaller one of {smaller.log_likelihood:.4f}: they are not nested, or "
            "a search did not find its optimum."
        )
    more = len(larger.random_effects) > len(smaller.random_effects)
    # Effects with other names are a covariance of another form, inside its range.
    at_boundary = more and not _effects_missing_in(smaller, larger)
    return ratio_test(gain, df, at_boundary)


def _check_criteria(smaller, larger):
    for fit in (smaller, larger):
        if np.isnan(fit.log_likelihood):
            raise ValueError(
                "A model is fitted by the iterative solver, which has no likelihood. "
                "Fit both with solver='direct', or compare predictions "
                "(skmixed.model_selection.cross_validate_groups)."
            )
        penalties = fit.alpha, fit.variance_alpha
        if any(penalties):
            raise ValueError(
                f"A fit has a ridge penalty of {max(penalties):g}: the ratio of "
                "penalised likelihoods has no known distribution. Fit without."
            )
    if smaller.method != larger.method:
        raise ValueError(
            f"The smaller model is fitted by method={smaller.method!r}, the larger by "
            f"{larger.method!r}: their criteria cannot be compared. Fit both by 'ml'."
        )
    if smaller.method == "reml" and _mean_names(smaller) != _mean_names(larger):
        raise ValueError(
            "The models differ in the mean and are fitted by REML, whose likelihoods "
            "of different means cannot be compared: they are those of different "
            "contrasts of y. Fit both with method='ml'."
        )


def _check_rows(smaller, larger):
    if abs(smaller.n_rows - larger.n_rows) > SAME_ROWS * larger.n_rows:
        raise ValueError(
            f"The smaller model is fitted to {count(smaller.n_rows, 'row')}, the "
            f"larger to {larger.n_rows:.12g}. Fit both to the same rows."
        )
    both = smaller.response, larger.response
    if all(both) and not _are_alike(*both, smaller.n_rows, SAME_ROWS):
        mean, scatter = zip(*both, strict=True)
        raise ValueError(
            f"The models are fitted to different y, of mean {mean[0]:.6g} and "
            f"{mean[1]:.6g}, and scatter {scatter[0]:.6g} and {scatter[1]:.6g}. "
            "Fit both to the same rows."
        )


def _are_alike(one, other, n, tolerance):
    """Whether (mean, scatter) of n rows are those of one column, within a part of its
    spread and the rounding of its level.
    """
    mean, scatter = zip(one, other, strict=True)
    level = tolerance * np.sqrt(max(scatter) / n) + SAME_ROWS * np.abs(mean).max()
    same = abs(mean[0] - mean[1]) <= level
    return same and abs(scatter[0] - scatter[1]) <= tolerance * max(scatter)


def _why_not_nested(smaller, larger):
    """The names and figures that show that models are not nested, in words; None if
    none do.
    """
    missing = _mean_names(smaller) - _mean_names(larger)
    if missing:
        return (
            f"The mean of the smaller model has {', '.join(sorted(missing))}, that of "
            "the larger has not"
        )
    missing = smaller.variance_names - larger.variance_names
    offsets = {n for n in larger.variance_names if n.startswith("offset of ")}
    missing |= offsets - smaller.variance_names
    if missing:
        return (
            f"The log-variance of one model has {', '.join(sorted(missing))}, that of "
            "the other has not"
        )
    lost = _effects_missing_in(smaller, larger)
    if lost:
        return (
            f"The smaller model has random effects ({', '.join(lost)}) that the larger "
            "has not"
        )
    return _other_columns(smaller, larger) or _other_labels(smaller, larger)


def _other_columns(smaller, larger):
    """The first column that has one name in both models and is not the same, in words:
    arrays have the columns x0, x1, ..., whatever is in them.
    """
    theirs = larger.column_moments
    for name, moments in smaller.column_moments.items():
        other, n = theirs.get(name, moments), smaller.n_rows
        if not _are_alike(moments, other, n, SAME_COLUMN):
            return (
                f"Column {name!r} of X has other values in the larger model, of mean "
                f"{other[0]:.6g} and standard deviation {np.sqrt(other[1] / n):.6g}, "
                f"not {moments[0]:.6g} and {np.sqrt(moments[1] / n):.6g}"
            )
    return None


def _other_labels(smaller, larger):
    """The first factor whose levels have other numbers of rows, in words."""
    theirs = larger.level_sizes
    for factor, sizes in smaller.level_sizes.items():
        if not np.allclose(sizes, theirs.get(factor, sizes), rtol=SAME_ROWS):
            of_factor = "" if factor is None else f" of {factor}"
            return (
                f"The labels{of_factor} are others in the larger model, whose median "
                f"level has {count(theirs[factor][1], 'row')} and not {sizes[1]:.12g}"
            )
    return None


def _effects_missing_in(smaller, larger):
    """Random effects of the smaller model that the larger has not, as text.

    A factor that is the only one of a model has no name there, and may be any of those
    of a larger model that have as many levels.
    """
    theirs, lost = larger.random_effects, []
    unnamed = {(effect, n_levels) for (_, effect), n_levels in theirs.items()}
    for (factor, effect), n_levels in smaller.random_effects.items():
        text = effect if factor is None else f"{effect} | {factor}"
        if (factor, effect) in theirs:
            text += f" of {n_levels} labels"
            missing = theirs[factor, effect] != n_levels
        else:
            missing = factor is not None or (effect, n_levels) not in unnamed
        lost += [text] if missing else []
    return sorted(lost)


def _mean_names(fit):
    """Names of the parameters of the mean."""
    names = np.array(["intercept", *fit.names], dtype=object)
    return set(names[fit.entries][fit.coefficients_std[fit.entries] > 0])


@dataclass(frozen=True, eq=False)
class Contrast:
    """Linear combinations of coefficients, each by itself and all together.

    Attributes
    ----------
    estimates : Table
        `coef`, `std`, `t`, `df`, `p` and the interval, `low` and `high`, one row for
        each combination.
    f_statistic : float
        Of the hypothesis that all of them are 0.
    df : tuple of float
        Degrees of freedom of numerator and denominator.
    p_value : float
        Of the F test.
    """

    estimates: Table
    f_statistic: float
    df: tuple[float, float]
    p_value: float

    def __str__(self) -> str:
        numerator, denominator = self.df
        text = f"F = {self.f_statistic:.4g} on {numerator:g} and "
        text += f"{number_text(denominator, 4)} df, {p_sentence(self.p_value)}"
        return f"{self.estimates}\n{text}"

    __repr__ = __str__


def contrast_of(fit, names, L, coverage):
    """The `Contrast` of combinations L (n, 1 + p) of (intercept, coefficients)."""
    uncertainty = fit.coefficient_uncertainty()
    if uncertainty is None:
        raise ValueError(
            "A model with a ridge penalty or fixed effects of groups has no degrees of "
            "freedom for its coefficients. Fit with alpha=0 and random effects."
        )
    _check_estimable(fit.posterior, names, L, fit.features)
    half = L @ uncertainty.root
    covariance, estimates = half @ half.T, L @ fit.coefficients
    std = np.sqrt(np.diag(covariance))
    df = uncertainty.freedom(L)
    table = coefficient_table(names, estimates, std, coverage, df)
    sizes, vectors = np.linalg.eigh(covariance)
    some = sizes > DEPENDENT * sizes.max(initial=0.0)
    if not some.any():
        raise ValueError("The combinations have no variance: there is nothing to test.")
    turned = vectors[:, some].T
    squares = (turned @ estimates) ** 2 / sizes[some]
    denominator = _denominator(uncertainty.freedom(turned @ L))
    f, numerator = float(squares.mean()), float(some.sum())
    p_value = stats.f.sf(f, numerator, denominator)
    if np.isinf(denominator):
        p_value = stats.chi2.sf(numerator * f, numerator)
    return Contrast(table, f, (numerator, denominator), float(p_value))


def _check_estimable(posterior, names, L, features):
    """Refuse combinations that the data do not tell, because columns of X determine
    each other: those outside of the row space of [1 X].

    A direction (-shift'd, d) of the coefficients changes no prediction if d is
    orthogonal to the rows of X - shift, which have the span of the rows of `coef_root`.
    """
    root = posterior.coef_root
    basis, sizes, _ = np.linalg.svd(root[:, root.any(axis=0)], full_matrices=False)
    basis = basis[:, sizes > 0]
    along = L[:, 1 + features] - L[:, :1] * posterior.shift
    outside = along - along @ basis @ basis.T
    lost = np.linalg.norm(outside, axis=1) > OUTSIDE * np.linalg.norm(along, axis=1)
    if lost.any():
        raise ValueError(
            f"{names[int(np.argmax(lost))]!r} is not estimable: columns of X determine "
            "each other, and predictions do not depend on this combination. Leave "
            "columns out, e.g. by OneHotEncoder(drop='first')."
        )


def _denominator(df):
    """Degrees of freedom of F from those of its independent t statistics: the mean of
    their squares has the expectation of an F on so many (Fai and Cornelius 1996):
    math.md (88).
    """
    if np.isinf(df).all() or np.ptp(df) <= SAME_FREEDOM * df.max():
        return float(df.mean())
    if (df <= 2).any():
        return 2.0
    excess = np.sum(2 / (df - 2))  # of the sum of expectations over 1 for each
    return float(2 * (len(df) + excess) / excess)
