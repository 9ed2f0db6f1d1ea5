"""statsmodels' summary of the model of docs/coming_from_r.md.

    python docs/studies/statsmodels_summary.py

Needs statsmodels and pandas.
"""

import statsmodels.formula.api as smf

from skmixed.datasets import load_sleepstudy

if __name__ == "__main__":
    data = load_sleepstudy(as_frame=True).frame
    print(smf.mixedlm("Reaction ~ Days", data, groups="Subject").fit().summary())
