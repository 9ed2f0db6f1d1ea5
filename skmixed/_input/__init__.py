"""From the arguments of users to arrays, and most complaints about them.

Comes in: X, y, labels, weights, parameters.  Goes out: `Data`, float arrays with an
integer code for each row's group, or for its level of every factor.

table, any_table    X, y, weights, `feature_names_in_`; X for any regressor
features            names and types of columns, and a column's position by name
unreadable          entries and types that are no finite number, and the reason
labels, scalars     a column of labels -> codes, with its errors; single labels
label_table         tables of labels -> codes, with theirs; their levels in `predict`
notation, factors   terms of random effects as text; the same with their label columns
formula_text, formula_columns, formula_table    a formula and a table -> columns
parameters          checks of parameters; `warn`
messages, typing    sentences that several modules need; types of public signatures
blocks              rows or labels that fit the cache, some at a time, by joblib
"""
