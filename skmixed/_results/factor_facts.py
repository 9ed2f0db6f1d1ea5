"""Facts about pairs of factors for the summary, and warnings of variances that
the data cannot tell.
"""

import numpy as np
from scipy import sparse

from .._input.messages import count
from .._rows.nested import is_nested


def facts(terms):
    """One sentence for every pair of factors: which is nested, or how they cross."""
    for number, other in enumerate(terms):
        for term in terms[:number]:
            yield _fact(term, other)


def _fact(first, second):
    inner, outer = second, first
    if second.n_levels < first.n_levels:
        inner, outer = first, second
    if is_nested(inner, outer):
        if inner.n_levels == outer.n_levels:
            return f"{first.name} and {second.name} divide the rows in the same way."
        return (
            f"{inner.name}: {count(inner.n_levels, 'label')}, each in one "
            f"{outer.name} (nested)."
        )
    cells = _cells(first, second)
    n_cells, sizes = cells.nnz, [term.n_levels for term in (first, second)]
    inner, outer = first, second
    met = np.diff(cells.indptr)
    if second.n_levels <= first.n_levels:
        inner, outer = second, first
        met = np.diff(cells.T.tocsr().indptr)
    times = count(met.max(), "label")
    if met.min() < met.max():
        times = f"{met.min()} to {times}"
    label = inner.labels[0]
    text = (
        f"{inner.name}: {count(inner.n_levels, 'label')}, each in {times} "
        f"of {outer.name} (crossed, {n_cells} of {sizes[0] * sizes[1]} "
        "combinations)."
    )
    if ":" in f"{inner.name}{outer.name}":
        return text
    return (
        f"{text} If {inner.name} {label} of one {outer.name} is not {inner.name} "
        f"{label} of another, write {outer.name}/{inner.name}."
    )


def _cells(first, second):
    """The levels that meet, a sparse (K, K) matrix of counts of rows."""
    ones = np.ones(len(first.codes), dtype=np.int32)
    shape = first.n_levels, second.n_levels
    return sparse.coo_array((ones, (first.codes, second.codes)), shape).tocsr()


def why_not_told(terms, factors, found):
    """Sentences about the variances that the data cannot tell; those that are not 0
    covary with effects that the data do tell, or are next to untold.
    """
    pairs = zip(found.identified, found.covariances, strict=True)
    for t, (told, Psi) in enumerate(pairs):
        effects = np.array(factors[t].effects, dtype=object)
        lost = list(effects[~told & (np.diag(Psi) == 0)])
        if lost:
            yield _why(t, terms, lost, found.reduced.n)
        kept = list(effects[~told & (np.diag(Psi) > 0)])
        if kept:
            yield (
                f"The data cannot tell the variance of the {_listed(kept)} of "
                f"{terms[t].name!r}: many others fit as well as the one that is "
                "reported."
            )


def _why(t, terms, lost, n_rows):
    term = terms[t]
    name = repr(term.name)
    whole = len(lost) == term.n_columns
    same = [s for s in terms[:t] if _divide_alike(s, term)]
    if whole and same:
        parts = term.name.split(":")
        turned = "/".join([*parts[1:], parts[0]])
        remedy = f"Did you mean '{turned}'?" if len(parts) > 1 else "Leave one out."
        return (
            f"{name} divides the rows exactly as {same[0].name!r} does; its variance "
            f"is set to 0. {remedy}"
        )
    effects = _listed(lost)
    verb = "its variance is" if len(lost) == 1 else "their variances are"
    if term.n_levels == n_rows:
        return (
            f"{name} has {term.n_levels} labels in {term.n_levels} rows, so that its "
            f"{effects} cannot be told from the noise; {verb} set to 0."
        )
    if term.n_levels == 1:
        return (
            f"{name} has one label only, {term.labels[0]}, so that its {effects} "
            f"cannot be told from the mean; {verb} set to 0."
        )
    return (
        f"The data cannot tell the {effects} of {name} from the rest of the model; "
        f"{verb} set to 0."
    )


def _listed(effects):
    return " and ".join(
        "random intercept" if e == "intercept" else f"random slope of {e!r}"
        for e in effects
    )


def _divide_alike(first, second):
    return _cells(first, second).nnz == first.n_levels == second.n_levels
