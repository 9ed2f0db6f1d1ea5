"""Is there a better optimum than the fitted one, on data like those that people have?

    python docs/studies/reliability/optima.py [n_sets first_seed kind ...]

Simulates so many sets of each kind (or of those that are named): panels of units over
years, schools and classes, growth curves, calendar years and ages as they are, subjects
and items, stores and products, factors that are nearly one, groups of which a few have
most of the rows.  Odd seeds are fitted by
REML, even ones by ML, and each likelihood is searched from ten random covariances as
well, with standard deviations of 0.03 to 160 times that of the noise.  Prints, for each
kind, in how many sets one of these ends is better, by how much at most, and the seeds.
"""

import sys
import warnings

import numpy as np

from skmixed._input.table import Data
from skmixed._likelihood.mixed import evaluate
from skmixed._rows.term import Term
from skmixed._search.descent import search_from
from skmixed._search.mixed import fit_mixed

N_RIVALS = 10
HIGHER = 1e-4  # in log-likelihood
# Beyond this many noise variances the rival is on its way to an exact fit.
EXACT = 1e9


class Drawing:
    """Random figures of the sizes that simulated sets have.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def size(self, low, high):
        """A size between two powers of ten."""
        return 10 ** self.rng.uniform(low, high)

    def number(self, low, high):
        """A whole number, `high` not among them."""
        return int(self.rng.integers(low, high))

    def normal(self, *shape):
        """Normal figures of standard deviation 1."""
        return self.rng.normal(size=shape)

    def levels(self, codes, low=-1.0, high=0.5):
        """A random effect of each row, its size between two powers of ten."""
        return self.size(low, high) * self.normal(codes.max() + 1)[codes]


def correlated(codes, *columns):
    """A term whose effects covary freely: a random intercept and these columns."""
    return codes, columns, (tuple(range(1 + len(columns))),)


def uncorrelated(codes, *columns):
    """A term whose effects do not covary."""
    return codes, columns, tuple((k,) for k in range(1 + len(columns)))


def crossed(*sizes):
    """Codes of all combinations of factors with so many levels."""
    return [grid.ravel() for grid in np.indices(sizes)]


def panel(draw):
    """(1 | unit) + (1 | year), features and y with trends."""
    year, unit = crossed(draw.number(3, 40), draw.number(3, 50))
    p = draw.number(1, 6)
    trend = draw.rng.uniform(-0.2, 0.2, p) * year[:, None]
    X = trend + draw.size(-1, 1) * draw.normal(unit.max() + 1, p)[unit]
    X = X + draw.size(-2, 0) * draw.normal(len(unit), p)
    y = X @ draw.normal(p) + 0.2 * draw.normal() * year + draw.levels(unit)
    y = y + draw.levels(year, -2, -0.3) + 0.1 * draw.normal(len(unit))
    return X, y, [correlated(unit), correlated(year)]


def panel_slopes(draw):
    """(x | unit) + (1 | year) of such panels."""
    X, y, ((unit, *_), year) = panel(draw)
    y = y + draw.levels(unit, -1.5, 0.5) * X[:, 0]
    return X, y, [correlated(unit, 0), year]


def schools(draw):
    """(x | school) + (x | class), features of schools, classes and pupils."""
    school, part, _ = crossed(draw.number(3, 15), draw.number(2, 6), draw.number(2, 12))
    own = school * (part.max() + 1) + part
    x = draw.normal(len(own))
    between = [draw.levels(codes) for codes in (school, own)]
    X = np.column_stack([x, *between])
    effects = sum(draw.levels(c) + draw.levels(c) * x for c in (school, own))
    y = X.sum(axis=1) + effects + draw.rng.standard_t(3, size=len(own))
    return X, y, [correlated(school, 0), correlated(own, 0)]


def growth(draw):
    """(t + t^2 | subject), a few subjects far from the others."""
    subject, t = crossed(draw.number(8, 60), draw.number(4, 12))
    effects = draw.normal(3, subject.max() + 1) * np.array([[1.0], [0.3], [0.03]])
    effects[:, : draw.number(0, 4)] *= draw.size(0.5, 2)
    powers = np.array([t**0, t, t**2])
    y = np.sum(effects[:, subject] * powers, axis=0)
    y = y + draw.size(-1, 0.5) * draw.rng.standard_t(4, size=len(t))
    t = t + draw.rng.choice([0.0, 10.0])
    return np.column_stack([t, t**2]), y, [correlated(subject, 0, 1)]


def calendar(draw):
    """(year || subject), years AD."""
    subject, t = crossed(draw.number(6, 60), draw.number(4, 15))
    t = t + draw.rng.integers(10, size=subject.max() + 1)[subject]
    y = 0.3 * t + draw.levels(subject) + 0.5 * draw.normal(len(t))
    y = y + draw.levels(subject, -2, 0) * (t - t.mean())
    return t[:, None] + 1990.0, y, [uncorrelated(subject, 0)]


def ages(draw):
    """(age || subject) of cohorts."""
    subject, t = crossed(draw.number(6, 60), draw.number(3, 10))
    age = draw.rng.uniform(6, 70) + draw.rng.uniform(0, 10, subject.max() + 1)[subject]
    age = age + t
    y = draw.levels(subject) + draw.normal(len(t))
    y = y + (0.5 + draw.levels(subject, -2, 0.3)) * (age - age.mean())
    return age[:, None], y, [uncorrelated(subject, 0)]


def items(draw):
    """(condition | subject) + (kind | item), some of them with a skewed y."""
    subject, item = crossed(draw.number(5, 40), draw.number(4, 30))
    condition, kind = item % 2 - 0.5, subject % 2 - 0.5
    y = draw.levels(subject) + draw.levels(subject) * condition + 0.3 * condition
    y = y + draw.levels(item) + draw.levels(item) * kind + 0.8 * draw.normal(len(item))
    y = np.exp(y) if draw.rng.random() < 0.5 else y
    X = np.column_stack([condition, kind])
    return X, y, [correlated(subject, 0), correlated(item, 1)]


def stores(draw):
    """(price | store) + (1 | week) + (1 | product), one week far from the others."""
    sizes = draw.number(3, 12), draw.number(5, 25), draw.number(3, 6)
    store, week, product = crossed(*sizes)
    price = 1 + 0.5 * draw.normal(sizes[2])[product] + 0.02 * week
    price = price + draw.levels(week, -2, -0.5) + 0.05 * draw.normal(len(week))
    y = 5 - price * (1 + draw.levels(store, -1.5, 0)) + draw.levels(store)
    y = y + draw.levels(week, -1.5, 0) + draw.levels(product)
    y = y + draw.size(-1, 1) * (week == draw.number(0, sizes[1]))
    y = y + 0.2 * draw.normal(len(week))
    terms = [correlated(store, 0), correlated(week), correlated(product)]
    return price[:, None], y, terms


def means(draw):
    """(x | group), x nearly the mean of its group."""
    n, n_groups = draw.number(60, 600), draw.number(5, 40)
    group = np.arange(n) % n_groups
    x = draw.normal(n_groups)[group] + draw.size(-2, -0.3) * draw.normal(n)
    y = x + draw.levels(group, -1, 1) + draw.levels(group, -1, 1) * x
    return x[:, None], y + 0.3 * draw.normal(n), [correlated(group, 0)]


def nearly_one(draw):
    """(1 | teacher) + (1 | class), few pupils of which have another teacher."""
    n, n_levels = draw.number(60, 400), draw.number(5, 40)
    first = np.arange(n) % n_levels
    moved = draw.rng.random(n) < draw.rng.uniform(0.02, 0.3)
    second = np.where(moved, draw.rng.integers(n_levels, size=n), first)
    x = draw.normal(n) + draw.normal(n_levels)[first]
    y = x + draw.levels(first, -1, 1) + draw.levels(second, -1, 1) + draw.normal(n)
    return x[:, None], y, [correlated(first), correlated(second)]


def giants(draw):
    """(x | group), one or two groups of many rows beside many groups of a few."""
    large = np.repeat(np.arange(draw.rng.choice([1, 1, 2])), draw.number(300, 3000))
    n_small, rows = draw.number(50, 400), draw.rng.choice([1, 1, 2])
    group = np.append(large, large.max() + 1 + np.repeat(np.arange(n_small), rows))
    x = draw.normal(len(group))
    y = x + draw.levels(group, -0.3) + draw.levels(group, -0.3, 0.3) * x
    return x[:, None], y + draw.normal(len(group)), [correlated(group, 0)]


def uneven(draw):
    """(x + z | group) or (x + z || group), most rows in few groups."""
    n, n_groups = draw.number(110, 1500), draw.number(10, 80)
    more = n_groups * draw.rng.random(n) ** draw.rng.choice([2, 4, 8])
    group = np.append(np.arange(n_groups), more.astype(int))
    X = np.exp(draw.rng.choice([0.1, 1.0]) * draw.normal(len(group), 2))
    y = X.sum(axis=1) + draw.levels(group, -1, 0.6)
    y = y + draw.levels(group, -1, 0.6) * X[:, 0] + draw.levels(group) * X[:, 1]
    y = y + draw.rng.standard_t(draw.rng.choice([3, 50]), size=len(group))
    kind = correlated if draw.rng.random() < 0.5 else uncorrelated
    return X, y, [kind(group, 0, 1)]


def uneven_crossed(draw):
    """(x | group) + (1 | factor), most rows in few levels of either."""
    X, y, ((group, *_),) = uneven(draw)
    factor = draw.number(3, 40) * draw.rng.random(len(y)) ** draw.rng.choice([1, 4])
    factor = factor.astype(int)
    return X, y + draw.levels(factor), [correlated(group, 0), correlated(factor)]


KINDS = [
    panel,
    panel_slopes,
    schools,
    growth,
    calendar,
    ages,
    items,
    stores,
    means,
    nearly_one,
    giants,
    uneven,
    uneven_crossed,
]


def fitted(kind, seed):
    """The fit of a set."""
    X, y, parts = kind(Drawing(seed))
    terms = []
    for k, (codes, columns, blocks) in enumerate(parts):
        levels, codes = np.unique(codes, return_inverse=True)
        positions = np.array([-1, *columns])
        terms.append(Term(f"f{k}", levels, codes.astype(np.int32), positions, blocks))
    data = Data(X, np.arange(X.shape[1]), None, y, None)
    return fit_mixed(data, tuple(terms), reml=bool(seed % 2))


def rivals(model, seed):
    """Random covariances of every term, as Lambdas."""
    draw = Drawing(seed)
    for _ in range(N_RIVALS):
        Lambdas = []
        for covariance in model.covariances:
            std = draw.size(-1.5, 2.2) * 10 ** (0.4 * draw.normal(covariance.q))
            A = draw.normal(covariance.q, 2 * covariance.q)
            A *= (std / np.linalg.norm(A, axis=1))[:, None]
            Lambdas.append(covariance.root(covariance.project(A @ A.T)))
        yield tuple(Lambdas)


def gap(kind, seed):
    """The best of the rivals above the fit, in log-likelihood; None of an exact fit."""
    found = fitted(kind, seed)
    if found.exact:
        return None
    highest = -np.inf
    for Lambdas in rivals(found.point.model, seed):
        end = search_from(evaluate(found.point.model, Lambdas), 100)
        largest = max(np.sum(L**2) for L in end.point.Lambdas)
        if not end.is_exact and largest < EXACT:
            highest = max(highest, (found.point.value - end.point.value) / 2)
    return highest


def main(n_sets=100, first_seed=0, *names):
    """A line for each kind."""
    warnings.simplefilter("ignore")
    print(f"{'':14s} sets  exact  missed  at most  seeds")
    for kind in [kind for kind in KINDS if kind.__name__ in names or not names]:
        seeds = range(first_seed, first_seed + n_sets)
        gaps = {seed: gap(kind, seed) for seed in seeds}
        known = {seed: g for seed, g in gaps.items() if g is not None}
        missed = [seed for seed, g in known.items() if g > HIGHER]
        most = max((known[seed] for seed in missed), default=0.0)
        told = f"{n_sets:4d} {n_sets - len(known):6d} {len(missed):7d} {most:8.3g}"
        print(f"{kind.__name__:14s} {told} ", *missed, flush=True)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:3]]
    main(*numbers, *sys.argv[3:])
