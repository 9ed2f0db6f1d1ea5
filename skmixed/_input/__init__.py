"""From what users pass to arrays; every complaint about input is made here.

Comes in: X, y, labels, weights and parameters as users pass them.  Goes out: `Data`,
float arrays with integer codes for the groups.

labels      labels of any kind -> codes, and their matching in `predict`
scalars     single labels: their kind, and whether one is missing
table       X, y and weights -> `Data`; unreadable says which entry is no number
features    columns of X by name and position
terms       text -> terms of random effects
label_table tables of labels -> codes, and their matching in `predict`
factors     terms and label columns -> factors with their effects
parameters  checks of parameters; `warn`
"""
