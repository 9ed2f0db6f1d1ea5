"""The search for variances of rows: the heteroscedastic estimator (docs/math.md, 9).

Comes in: rows with labels.  Goes out: the best point, and the problem that it solves.

problem             parameters and bounds, and the way back to the user's units
starts              where the search begins
search              Newton's method from several starts; the best of all optima
"""
