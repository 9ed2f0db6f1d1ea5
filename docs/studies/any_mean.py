"""Any regressor as the mean of a mixed model, beside what else people do.

    python docs/studies/any_mean.py [--peers PYTHON] [--splits 4] [--sets NAME ...]
    python docs/studies/any_mean.py --speed

and merf, which takes minutes where others take seconds, by itself:

    python docs/studies/any_mean.py --peers PYTHON --methods skmixed merf --splits 1 \\
        --sets sleepstudy ChickWeight Sacramento Cigar pbcseq smooth slopes

Every set is split `splits` times: a fifth of the groups is held out (new groups), and a
fifth of the rows of the others (known groups).  Of sets of fewer than `LEAST_GROUPS`
groups none is held out.  All boosted trees have 8 leaves, a rate of 0.1 and 100 rounds.
The sets of R take part where Rscript and its packages are installed (in Debian:
r-cran-lme4, -mlmrev, -nlme, -plm, -modeldata, -survival), GPBoost and merf by the
interpreter of an environment that has them.  The tables go to the standard output.
"""

import argparse
import pickle
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

LEAST_GROUPS = 10
COVERAGE = 0.9
QUANTILE = 1.6448536269514722  # of the normal distribution, at (1 + COVERAGE) / 2
TREES = {"max_leaf_nodes": 8, "early_stopping": False, "random_state": 0}
NOISE_TREES = {**TREES, "max_leaf_nodes": 4, "max_iter": 50}
MOST_CATEGORIES = 255  # of one feature of scikit-learn's trees
OURS = "skmixed"


@dataclass(frozen=True)
class Set:
    """Rows of one set: features, target, and positions of their groups."""

    name: str
    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    real: bool = True


@dataclass(frozen=True)
class Task:
    """Training rows, and the test rows of both questions."""

    set: Set
    split: int
    train: np.ndarray
    test: dict = field(repr=False)


# -------------------------------------------------------------------------------- sets


def shipped_sets():
    """Those of this package and of scikit-learn that have groups."""
    from sklearn import datasets as others

    from skmixed import datasets as own

    for name in ("sleepstudy", "machines", "hsb82"):
        frame, y, groups = getattr(own, f"load_{name}")(
            return_X_y_groups=True, as_frame=True
        )
        yield make_set(name, frame, y, groups)
    frame = others.load_diabetes(as_frame=True, scaled=False).frame
    yield make_set(
        "diabetes", frame.drop(columns=["age", "target"]), frame.target, frame.age
    )
    frame = others.load_wine(as_frame=True).frame
    yield make_set(
        "wine", frame.drop(columns=["alcohol", "target"]), frame.alcohol, frame.target
    )
    frame = others.load_iris(as_frame=True).frame
    width = "petal width (cm)"
    yield make_set(
        "iris", frame.drop(columns=[width, "target"]), frame[width], frame.target
    )


# y, the groups and the features of a set of R: an expression that gives a data frame,
# the target, the groups, and what is left out of it.
R_SETS = {
    "star": (
        'subset(mlmRev::star, gr == "K")[, c("math", "sch", "sx", "eth", "ses", '
        '"cltype", "trace", "hdeg", "clad", "exp")]',
        "math",
        "sch",
    ),
    "egsingle": (
        'mlmRev::egsingle[, c("math", "childid", "year", "grade", "retained",'
        ' "female", "black", "hispanic", "size", "lowinc", "mobility")]',
        "math",
        "childid",
    ),
    "bdf": (
        'nlme::bdf[, c("langPOST", "schoolNR", "sex", "Minority", "repeatgr", '
        '"langPRET", "aritPRET", "ses", "denomina", "schoolSES", "satiprin", '
        '"natitest", "meetings", "currmeet", "mixedgra", "percmino", "aritdiff", '
        '"homework", "classsiz", "groupsiz", "IQ.verb", "IQ.perf")]',
        "langPOST",
        "schoolNR",
    ),
    "Exam": (
        'mlmRev::Exam[, c("normexam", "school", "schgend", "schavg", "vr", '
        '"intake", "standLRT", "sex", "type")]',
        "normexam",
        "school",
    ),
    "Chem97": (
        'subset(mlmRev::Chem97, as.integer(lea) <= 25)[, c("score", "school", '
        '"gender", "age", "gcsescore")]',
        "score",
        "school",
    ),
    "InstEval": (
        'droplevels(subset(lme4::InstEval, as.integer(d) <= 120))[, c("y", '
        '"d", "studage", "lectage", "service", "dept")]',
        "y",
        "d",
    ),
    "Wages": (
        'transform({data("Wages", package = "plm"); Wages}, id = rep(1:595, each = 7))',
        "lwage",
        "id",
    ),
    "Males": ('{data("Males", package = "plm"); Males}', "wage", "nr"),
    "Cigar": ('{data("Cigar", package = "plm"); Cigar}', "sales", "state"),
    "ChickWeight": ("as.data.frame(ChickWeight)", "weight", "Chick"),
    "ames": (
        "with(modeldata::ames, data.frame(price = log10(Sale_Price), Neighborhood,"
        " Lot_Area, Lot_Frontage, Year_Built, Year_Remod_Add, Gr_Liv_Area, "
        "Total_Bsmt_SF, First_Flr_SF, Full_Bath, Half_Bath, Bedroom_AbvGr, "
        "TotRms_AbvGrd, Fireplaces, Garage_Cars, Garage_Area, Wood_Deck_SF, "
        "Open_Porch_SF, Central_Air, Bldg_Type))",
        "price",
        "Neighborhood",
    ),
    "Sacramento": (
        "with(modeldata::Sacramento, data.frame(price = log10(price), zip, "
        "beds, baths, sqft, type, latitude, longitude))",
        "price",
        "zip",
    ),
    "pbcseq": (
        "with(survival::pbcseq, data.frame(bili = log(bili), id, day, age, sex, "
        "trt, ascites, hepato, spiders, edema, albumin, alk.phos, ast, platelet,"
        " protime, stage))",
        "bili",
        "id",
    ),
}


def r_sets(names, folder):
    """The sets of R, by Rscript; none of those whose package is not installed."""
    import pandas as pd

    for name in names:
        expression, target, group = R_SETS[name]
        path = Path(folder) / f"{name}.csv"
        code = f"d <- {expression}; write.csv(d, {str(path)!r}, row.names = FALSE)"
        run = subprocess.run(["Rscript", "-e", code], capture_output=True, check=False)
        if run.returncode:
            print(f"without {name}: {run.stderr.decode()[-300:]}", file=sys.stderr)
            continue
        frame = pd.read_csv(path).dropna()
        features = frame.drop(columns=[target, group])
        yield make_set(name, features, frame[target], frame[group])


def make_set(name, frame, y, groups):
    """Categories as columns of zeros and ones, constant columns left out."""
    import pandas as pd

    X = pd.get_dummies(frame, drop_first=True).to_numpy(float)
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    return Set(name, X[:, np.ptp(X, axis=0) > 0], np.asarray(y, float), codes)


def simulated_sets():
    """Eight truths, each drawn once."""
    shapes = {"many small": (500, 3), "few large": (12, 120)}
    for seed, name in enumerate(
        ("linear", "smooth", "friedman", "slopes", "between", "noise", *shapes)
    ):
        yield simulated_set(name, seed, *shapes.get(name, (80, 15)))


def simulated_set(name, seed, n_groups, size):
    """One of the eight: groups of `size` rows on average."""
    rng = np.random.default_rng(seed)
    n = n_groups * size
    groups = np.append(np.arange(n_groups), rng.integers(n_groups, size=n - n_groups))
    X = rng.normal(size=(n, 6))
    b, e = rng.normal(size=n_groups), rng.normal(size=n)
    smooth = 2 * np.sin(1.5 * X[:, 0]) + X[:, 1] * X[:, 2]
    if name == "linear":
        y = X @ [1, -1, 0.5, 0, 0, 0] + b[groups] + e
    elif name == "friedman":
        U = rng.uniform(size=(n, 6))
        y = 10 * np.sin(np.pi * U[:, 0] * U[:, 1]) + 20 * (U[:, 2] - 0.5) ** 2
        X, y = U, y + 10 * U[:, 3] + 5 * U[:, 4] + 3 * b[groups] + 2 * e
    elif name == "slopes":
        slope = rng.normal(size=n_groups)
        y = smooth + b[groups] + slope[groups] * X[:, 3] + e
    elif name == "between":  # the effect of X within groups is not that between them
        level = rng.normal(size=n_groups)
        X[:, 0] += 2 * level[groups]
        y = X[:, 0] - 2 * level[groups] + np.abs(X[:, 1]) + b[groups] + e
    elif name == "noise":
        y = smooth + b[groups] + np.exp(0.7 * X[:, 4]) * e
    else:
        y = smooth + b[groups] + e
    return Set(name, X, y, groups, real=False)


def make_tasks(sets, n_splits):
    """The splits of all sets."""
    for s in sets:
        labels = np.unique(s.groups)
        for split in range(n_splits):
            rng = np.random.default_rng(split)
            held = np.zeros(len(s.y), dtype=bool)
            if len(labels) >= LEAST_GROUPS:
                out = rng.permutation(labels)[: len(labels) // 5]
                held = np.isin(s.groups, out)
            rest = rng.permutation(np.flatnonzero(~held))
            known, train = (
                np.sort(rest[: len(rest) // 5]),
                np.sort(rest[len(rest) // 5 :]),
            )
            known = known[np.isin(s.groups[known], s.groups[train])]
            test = {"known": known}
            if held.any():
                test["new"] = np.flatnonzero(held)
            yield Task(s, split, train, test)


# ----------------------------------------------------------------------------- methods
#
# A method yields each question with the mean, the std, and the joint NLL per row of its
# predictions; in place of the last, noise variances and the variance that groups share.


def fit_own(model, task):
    """A model of this package."""
    s, train = task.set, task.train
    model.fit(s.X[train], s.y[train], groups=s.groups[train])
    for question, test in task.test.items():
        X, groups = s.X[test], s.groups[test]
        mean, std = model.predict(X, groups=groups, return_std=True)
        density = model.log_predictive_density(X, s.y[test], groups=groups)
        yield question, (mean, std, -density / len(test))


def mixed_effects(task):
    from skmixed import MixedEffectsRegressor

    return fit_own(MixedEffectsRegressor(random_state=0, verbose=0), task)


def modelled_noise(task):
    from sklearn.ensemble import HistGradientBoostingRegressor

    from skmixed import MixedEffectsRegressor

    noise = HistGradientBoostingRegressor(**NOISE_TREES)
    model = MixedEffectsRegressor(variance_regressor=noise, random_state=0, verbose=0)
    return fit_own(model, task)


def linear(task):
    from skmixed import RandomInterceptRegressor

    return fit_own(RandomInterceptRegressor(), task)


def with_groups(model, task):
    """A pipeline that reads the groups in the last column; its std is that of the
    residuals of rows held out.
    """
    from sklearn.model_selection import KFold, cross_val_predict

    s, train = task.set, task.train
    X = np.column_stack([s.X, s.groups])
    cv = KFold(5, shuffle=True, random_state=0)
    unseen = cross_val_predict(model, X[train], s.y[train], cv=cv)
    std = np.sqrt(np.mean((s.y[train] - unseen) ** 2))
    model.fit(X[train], s.y[train])
    for question, test in task.test.items():
        mean = model.predict(X[test])
        rows = np.full(len(test), std)
        yield question, (mean, rows, np.mean(nll(s.y[test], mean, rows)))


def target_encoding(task):
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import TargetEncoder

    encoder = TargetEncoder(target_type="continuous", random_state=0)
    encode = make_column_transformer((encoder, [-1]), remainder="passthrough")
    model = make_pipeline(encode, HistGradientBoostingRegressor(**TREES))
    return with_groups(model, task)


def category(task):
    from sklearn.ensemble import HistGradientBoostingRegressor

    if task.set.groups.max() >= MOST_CATEGORIES:
        return ()
    p = task.set.X.shape[1]
    model = HistGradientBoostingRegressor(categorical_features=[p], **TREES)
    return with_groups(model, task)


def gpboost(task):
    """GPBoost of y in units of its std, with Newton's updates of leaves: both help."""
    import gpboost as gpb

    s, train = task.set, task.train
    unit = s.y[train].std()
    model = gpb.GPModel(group_data=s.groups[train], likelihood="gaussian")
    data = gpb.Dataset(s.X[train], s.y[train] / unit)
    params = {
        "num_leaves": 8,
        "learning_rate": 0.1,
        "leaves_newton_update": True,
        "verbose": -1,
        "num_threads": 1,
        "seed": 0,
    }
    booster = gpb.train(
        params=params, train_set=data, gp_model=model, num_boost_round=100
    )
    noise = float(np.ravel(model.get_cov_pars())[0])
    for question, test in task.test.items():
        found = booster.predict(
            s.X[test],
            group_data_pred=s.groups[test],
            predict_var=True,
            pred_latent=False,
        )
        variance = np.asarray(found["response_var"])
        mean = unit * np.asarray(found["response_mean"])
        shared = np.maximum(variance - noise, 0.0)
        yield (
            question,
            (mean, unit * np.sqrt(variance), unit**2 * noise, unit**2 * shared),
        )


def merf(task):
    """merf with its default forest; variances of random intercepts as its model has
    them.
    """
    import logging

    from merf import MERF
    from sklearn.ensemble import RandomForestRegressor

    s, train = task.set, task.train
    import pandas as pd

    logging.disable(logging.INFO)
    forest = RandomForestRegressor(n_estimators=100, random_state=0, n_jobs=1)
    model = MERF(fixed_effects_model=forest, max_iterations=20)
    ones, clusters = np.ones((len(s.y), 1)), pd.Series(s.groups)
    model.fit(
        s.X[train], ones[train], clusters[train].reset_index(drop=True), s.y[train]
    )
    noise, between = (
        float(model.sigma2_hat_history[-1]),
        float(np.ravel(model.D_hat_history[-1])[0]),
    )
    size = np.bincount(s.groups[train], minlength=s.groups.max() + 1)
    for question, test in task.test.items():
        labels = clusters[test].reset_index(drop=True)
        mean = model.predict(s.X[test], ones[test], labels)
        shared = noise * between / (noise + size[s.groups[test]] * between)
        yield question, (mean, np.sqrt(noise + shared), noise, shared)


METHODS = {
    OURS: mixed_effects,
    "skmixed, modelled noise": modelled_noise,
    "linear random intercepts": linear,
    "target encoding + trees": target_encoding,
    "trees, category": category,
}
PEERS = {"GPBoost": gpboost, "merf": merf}


# ------------------------------------------------------------------------------ scores


def nll(y, mean, std):
    """-log density of each row."""
    return 0.5 * np.log(2 * np.pi) + np.log(std) + 0.5 * ((y - mean) / std) ** 2


def score(task, question, predicted):
    """RMSE, NLL, joint NLL per row, and coverage."""
    from skmixed.metrics import joint_gaussian_nll

    test = task.test[question]
    y, groups = task.set.y[test], task.set.groups[test]
    mean, std, *joint = predicted
    if len(joint) == 2:
        blocks = joint_gaussian_nll(y, mean, *joint, groups, normalize=True)
        joint = [blocks]
    return {
        "rmse": np.sqrt(np.mean((y - mean) ** 2)),
        "nll": np.mean(nll(y, mean, std)),
        "joint": float(joint[0]),
        "cover": np.mean(np.abs(y - mean) <= QUANTILE * std),
    }


def predict_all(name, tasks):
    """Predictions of one method for every task, a list of dicts by question."""
    predicted = []
    for task in tasks:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predicted.append(dict({**METHODS, **PEERS}[name](task)))
        if sys.stderr.isatty() or task.split == 0:
            print(f"{name}: {task.set.name}", file=sys.stderr, flush=True)
    return predicted


def predict_by_peer(name, tasks, python, folder):
    """The same by another interpreter, which has what the method needs."""
    given, taken = Path(folder) / "tasks.pickle", Path(folder) / "predicted.pickle"
    given.write_bytes(pickle.dumps([vars_of(task) for task in tasks]))
    command = [python, __file__, "--peer", name, str(given), str(taken)]
    subprocess.run(command, check=True)
    return pickle.loads(taken.read_bytes())


def vars_of(task):
    """A task as plain arrays, which another interpreter can load."""
    return {**vars(task), "set": vars(task.set)}


def task_of(plain):
    """The task of `vars_of`."""
    return Task(**{**plain, "set": Set(**plain["set"])})


def compare(tasks, names, python=None, folder=None):
    """Scores, means over splits: by question, set and method."""
    scores = {}
    for name in names:
        if name in PEERS:
            predicted = predict_by_peer(name, tasks, python, folder)
        else:
            predicted = predict_all(name, tasks)
        for task, of_task in zip(tasks, predicted, strict=True):
            for question, values in of_task.items():
                key = question, task.set.name, name
                scores.setdefault(key, []).append(score(task, question, values))
    return {
        key: {
            what: float(np.mean([each[what] for each in of_key])) for what in of_key[0]
        }
        for key, of_key in scores.items()
    }


# ------------------------------------------------------------------------------ tables


def summary(scores, sets):
    """Rivals less ours: mean and standard error over the sets of a kind."""
    rivals = dict.fromkeys(name for *_, name in scores if name != OURS)
    lines = [
        "| rival | groups | sets | RMSE % (median) | NLL | joint NLL "
        "| sets with better NLL | rival's cover |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rival in rivals:
        for question in ("known", "new"):
            names = [s.name for s in sets if (question, s.name, rival) in scores]
            if names:
                lines.append(_summary_line(scores, names, rival, question))
    for question in ("known", "new"):
        cover = [
            values["cover"]
            for (asked, of_set, name), values in scores.items()
            if (asked, name) == (question, OURS) and of_set in {s.name for s in sets}
        ]
        if cover:
            lines.append("")
            lines.append(f"Own cover, {question} groups: {np.mean(cover):.3f}.")
    return "\n".join(lines)


def _summary_line(scores, names, rival, question):
    own = [scores[question, name, OURS] for name in names]
    other = [scores[question, name, rival] for name in names]
    pairs = list(zip(own, other, strict=True))
    rmse = np.array([100 * (b["rmse"] / a["rmse"] - 1) for a, b in pairs])
    by_nll = np.array([b["nll"] - a["nll"] for a, b in pairs])
    joint = np.array([b["joint"] - a["joint"] for a, b in pairs])
    cells = [
        rival,
        question,
        str(len(names)),
        f"{_mean(rmse, 1)} ({np.median(rmse):+.1f})",
        _mean(by_nll, 3),
        _mean(joint, 3),
        f"{np.sum(by_nll > 0)} of {len(names)}",
        f"{np.mean([b['cover'] for b in other]):.3f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _mean(values, digits):
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():+.{digits}f} +- {error:.{digits}f}"


def every_set(scores, sets, names):
    """RMSE and NLL of every method on every set."""
    lines = []
    for question in ("known", "new"):
        lines += [
            "",
            f"{question} groups: RMSE as a multiple of ours, NLL less ours; our cover",
            "",
            "| set | rows, groups | cover | " + " | ".join(names[1:]) + " |",
            "|---" * (len(names) + 2) + "|",
        ]
        for s in sets:
            own = scores.get((question, s.name, OURS))
            if own is None:
                continue
            cells = []
            for name in names[1:]:
                other = scores.get((question, s.name, name))
                cells.append(
                    "-"
                    if other is None
                    else f"{other['rmse'] / own['rmse']:.3f}, "
                    f"{other['nll'] - own['nll']:+.3f}"
                )
            size = f"{len(s.y)}, {len(np.unique(s.groups))}"
            row = [s.name, size, f"{own['cover']:.3f}", *cells]
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def speed(n_rows=100_000, n_groups=10_000, n_features=10):
    """Seconds of processor time of one fit of the trees alone, and of ours."""
    import time

    from sklearn.ensemble import HistGradientBoostingRegressor

    from skmixed import MixedEffectsRegressor

    rng = np.random.default_rng(0)
    groups, X = (
        rng.integers(n_groups, size=n_rows),
        rng.normal(size=(n_rows, n_features)),
    )
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + rng.normal(size=n_groups)[groups]
    y = y + rng.normal(size=n_rows)
    fits = {
        "trees alone": lambda: HistGradientBoostingRegressor(**TREES).fit(X, y),
        OURS: lambda: MixedEffectsRegressor(random_state=0, n_jobs=1, verbose=0).fit(
            X, y, groups=groups
        ),
    }
    seconds = {}
    for name, fit in fits.items():
        runs = []
        for _ in range(3):
            start = time.process_time()
            fit()
            runs.append(time.process_time() - start)
        seconds[name] = np.median(runs)
    print(f"{n_rows} rows x {n_features}, {n_groups} groups, medians of 3 runs")
    for name, value in seconds.items():
        print(f"{name}: {value:.2f} s")
    print(f"ratio: {seconds[OURS] / seconds['trees alone']:.1f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", help="interpreter that has GPBoost and merf")
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--sets", nargs="*", help="names of sets, all by default")
    parser.add_argument("--methods", nargs="*", help="ours first; not merf by default")
    parser.add_argument("--peer", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--speed", action="store_true", help="how long a fit takes")
    chosen = parser.parse_args()
    if chosen.speed:
        speed()
        return
    if chosen.peer:
        name, given, taken = chosen.peer
        tasks = [task_of(plain) for plain in pickle.loads(Path(given).read_bytes())]
        Path(taken).write_bytes(pickle.dumps(predict_all(name, tasks)))
        return
    with tempfile.TemporaryDirectory() as folder:
        sets = [*shipped_sets(), *r_sets(R_SETS, folder), *simulated_sets()]
        if chosen.sets:
            sets = [s for s in sets if s.name in chosen.sets]
        tasks = list(make_tasks(sets, chosen.splits))
        names = chosen.methods or [*METHODS, *(["GPBoost"] if chosen.peers else [])]
        scores = compare(tasks, names, chosen.peers, folder)
    real = [s for s in sets if s.real]
    made = [s for s in sets if not s.real]
    for kind, some in (("real", real), ("simulated", made), ("in all", sets)):
        print(
            f"{len(some)} sets, {kind}: rivals less skmixed, mean +- standard error\n"
        )
        print(summary(scores, some), end="\n\n")
    print(every_set(scores, sets, names))


if __name__ == "__main__":
    main()
