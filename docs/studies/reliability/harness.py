"""Judges random problems, many at a time, and counts the outcomes."""

import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from joblib import Parallel, delayed

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

CHUNK = 50
HANGS = 120  # seconds of CPU


@dataclass(frozen=True)
class Outcome:
    """The outcome of one problem.

    Attributes
    ----------
    kind : str
        The word of the judge ("fitted", say), or "failed".
    detail : str
        The reason of the judge, or the failure and its problem.
    seconds : float
        Of CPU.
    """

    kind: str
    detail: str
    seconds: float


def draw(strategy, number, n_problems=CHUNK):
    """Distinct problems of ``strategy()``, the same for the same number."""
    drawn = {}

    @seed(number)
    @settings(
        max_examples=n_problems,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(problem=strategy())
    def collect(problem):
        drawn[repr(problem)] = problem

    collect()
    return list(drawn.values())


def judge_chunk(judge, chunk, number):
    """Outcomes of the problems of ``chunk(number)``."""
    signal.signal(signal.SIGVTALRM, _hangs)
    return [_outcome(judge, problem) for problem in chunk(number)]


def _outcome(judge, problem):
    start = time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, HANGS)
    try:
        kind, detail = judge(problem)
    except Exception as error:
        kind, detail = "failed", f"{type(error).__name__}: {error}\n    {problem}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return Outcome(kind, detail, time.process_time() - start)


def _hangs(*_):
    raise TimeoutError(f"still running after {HANGS} s")


def campaign(judge, chunk, n_problems, n_jobs, first_seed):
    """Outcomes of about `n_problems` problems, whole chunks ``chunk(number)`` of them.

    Prints failures as they come, and the counts so far.
    """
    numbers = range(first_seed, first_seed + -(-n_problems // CHUNK))
    tasks = (delayed(judge_chunk)(judge, chunk, number) for number in numbers)
    outcomes = []
    for some in Parallel(n_jobs=n_jobs, return_as="generator")(tasks):
        outcomes += some
        print(counts_of(outcomes), file=sys.stderr, flush=True)
        for outcome in some:
            if outcome.kind == "failed":
                print(f"\n{outcome.detail}", flush=True)
    print(f"\n{counts_of(outcomes)}")
    return outcomes


def counts_of(outcomes):
    """The line that counts outcomes."""
    kinds = Counter(outcome.kind for outcome in outcomes)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    slowest = max(outcome.seconds for outcome in outcomes)
    return f"{len(outcomes)} problems: {told}; the slowest took {slowest:.1f} s"
