"""Is any text terms of random effects, or a formula, or refused clearly and soon?

    python docs/studies/reliability/notation.py [n_texts first_seed]

Hypothesis draws texts of the signs of the notation, of characters of every category of
Unicode and of terms that are printed and then changed (tests/oracles/random_texts.py);
a tenth of them are formulas.  Prints how many were terms that print and parse back to
themselves, how many were refused, and every failure.
"""

import sys

import harness
from oracles import random_texts as texts

CHUNK = 1000
# Texts, terms that are changed, and formulas, of ten.
KINDS = (
    (texts.TEXTS, texts.judge, 4),
    (texts.mutated_terms(), texts.judge, 5),
    (texts.any_formula(), texts.judge_formula, 1),
)


def main(n_texts=100_000, first_seed=0):
    """Print the counts of each kind."""
    for strategy, judge, share in KINDS:
        n_chunks = -(-n_texts * share // (10 * CHUNK))
        outcomes = []
        for number in range(first_seed, first_seed + n_chunks):
            some = harness.draw(lambda kind=strategy: kind, number, CHUNK)
            outcomes += harness.judge_chunk(
                lambda text, judge=judge: (judge(text), ""), lambda _, s=some: s, number
            )
        for outcome in outcomes:
            if outcome.kind == "failed":
                print(outcome.detail.encode("ascii", "backslashreplace").decode())
        print(f"{judge.__name__}, {harness.counts_of(outcomes)}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
