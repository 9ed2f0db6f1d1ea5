"""Results as files, one for each problem, and the figures that are made from them."""

import json
import statistics
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).with_name("results")


def median(values):
    """Median; None if there is nothing to take it of."""
    return None if not values or None in values else statistics.median(values)


def write(folder, result):
    """Keep a result, with the rows of other adapters that the file had before."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['problem']['name']}.json"
    result = json.loads(json.dumps(result))  # lists, as those of the file
    new = {_key(row): row for row in result["rows"]}
    old = json.loads(path.read_text()) if path.exists() else {"rows": []}
    if old["rows"] and _data_of(old) == _data_of(result):
        new = {_key(row): row for row in old["rows"]} | new
    result["rows"] = list(new.values())
    path.write_text(json.dumps(result, indent=1) + "\n")


def read(folder):
    """Results by the names of their problems."""
    paths = sorted(folder.glob("*.json"))
    return {path.stem: Result(json.loads(path.read_text())) for path in paths}


def _data_of(result):
    said_of_it = ("about", "adapters", "pairs", "family")
    return {k: v for k, v in result["problem"].items() if k not in said_of_it}


def _key(row):
    return row["adapter"], row["beside"]


class Result:
    """Rows of one problem."""

    def __init__(self, content):
        self.problem, self.machine = content["problem"], content["machine"]
        self.alone = [row for row in content["rows"] if not row["beside"]]
        self.pairs = [row for row in content["rows"] if row["beside"]]

    @property
    def X_bytes(self):
        """Size of X in float64."""
        return 8 * self.problem["n_rows"] * self.problem["n_features"]

    def row(self, adapter):
        """The row of one adapter measured alone; None if it has no result."""
        for row in self.alone:
            if row["adapter"] == adapter and row["status"] == "ok":
                return row
        return None

    def ours(self, method=""):
        """Our row that others are held against; None if it has no result.

        That of the problem's first adapter, or another one of ours if only that
        maximises what `method` says.
        """
        ours = [row for row in self.alone if row["kind"] == "ours"]
        same = [row for row in ours if row.get("method") == method]
        first = self.row(self.problem["adapters"][0])
        return first if first in same or not same else same[0]

    def seconds(self, adapter):
        """Median time, alone; None if there is none."""
        row = self.row(adapter)
        return row and median(row["seconds"])

    def ratio(self, adapter, other):
        """Time of one over that of the other.

        In pairs within one process if they were measured so, else of the medians; None
        if one of them has no result.
        """
        for row in self.pairs:
            if (row["adapter"], row["beside"]) == (adapter, other):
                return pair_ratio(row)
        times = self.seconds(adapter), self.seconds(other)
        return None if None in times else times[0] / times[1]

    def peak(self, adapter):
        """Median of the extra memory in bytes; None if it was not measured."""
        row = self.row(adapter)
        return row and median(row["peak_bytes"])

    def below_best(self, row):
        """Log-likelihood of the best row of the same criterion, less that of this."""
        if row.get("judged") is None:
            return None
        reml = row["method"] != "ml"
        rivals = [
            other["judged"]
            for other in self.alone
            if other.get("judged") is not None and (other["method"] != "ml") == reml
        ]
        return max(rivals) - row["judged"]


def pair_ratio(row):
    """Median ratio of two fits that took turns; None if they failed."""
    if row["status"] != "ok":
        return None
    pairs = zip(row["seconds"], row["beside_seconds"], strict=True)
    return median([ours / theirs for ours, theirs in pairs])


def growth(adapter):
    """Slope of the logarithm of time in the logarithm of rows."""

    def figure(results):
        family = [r for r in results.values() if r.problem["family"] == "rows"]
        points = [
            (result.problem["n_rows"], result.seconds(adapter))
            for result in family
            if result.seconds(adapter) is not None
        ]
        if len(points) < 3:
            return None
        return np.polyfit(*np.log(np.array(points)).T, 1)[0]

    return figure
