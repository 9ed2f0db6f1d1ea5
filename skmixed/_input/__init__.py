"""From what users pass to arrays; every complaint about input is made here.

Comes in: X, y, labels, weights and parameters as users pass them.  Goes out: `Data`,
float arrays with integer codes for the groups.

labels      labels of any kind -> codes, and their matching in `predict`
table       X, y and weights -> `Data`
parameters  checks of parameters; `warn`
"""
