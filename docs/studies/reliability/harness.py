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
    """What became of one problem.

    Attributes
    ----------
    kind : str
        What the judge said ("fitted", say), or "failed".
    detail : str
        What the judge said further, or the failure and its problem.
    seconds : float
        Of CPU.
    """

    kind: str
    detail: str
    seconds: float


def draw(strategy, number, n_problems):
    """Distinct problems of a strategy, the same for the same number."""
    drawn = {}

    @seed(number)
    @settings(
        max_examples=n_problems,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(problem=strategy)
    def collect(problem):
        drawn[repr(problem)] = problem

    collect()
    return list(drawn.values())


def judge_chunk(judge, strategy, number):
    """Outcomes of a chunk of problems; `strategy()` makes the strategy."""
    signal.signal(signal.SIGVTALRM, _hangs)
    return [_outcome(judge, problem) for problem in draw(strategy(), number, CHUNK)]


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


def campaign(judge, strategy, n_problems, n_jobs, first_seed):
    """Outcomes of `n_problems`, whole chunks of them; prints the failures."""
    numbers = range(first_seed, first_seed + -(-n_problems // CHUNK))
    tasks = (delayed(judge_chunk)(judge, strategy, number) for number in numbers)
    outcomes = []
    for some in Parallel(n_jobs=n_jobs, return_as="generator")(tasks):
        outcomes += some
        failed = sum(outcome.kind == "failed" for outcome in outcomes)
        print(f"{len(outcomes)} problems, {failed} failed", file=sys.stderr, flush=True)
        for outcome in some:
            if outcome.kind == "failed":
                print(f"\n{outcome.detail}", flush=True)
    kinds = Counter(outcome.kind for outcome in outcomes)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    slowest = max(outcome.seconds for outcome in outcomes)
    print(f"\n{len(outcomes)} problems: {told}; the slowest took {slowest:.1f} s")
    return outcomes
