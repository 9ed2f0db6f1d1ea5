"""From rows to sums; no other stage holds rows.

Comes in: `Data`, in memory, in batches or in partitions of a Dask collection.  Goes
out: `Moments` and `Gram`.  Weights enter wherever rows are summed: docs/design.md.

reduction, moments, pieces     rows in group order to figures of groups
sparse_rows, sparse_matrix     rows of a sparse X, one factor out; a stored matrix
gram, qr                the blocks that the factor uses; triangular roots
columns, dependence     independent columns of X, the way back; what can be estimated
statistics, cells       all that `partial_fit` keeps: of one factor, of any terms
parts, dask, memory, threads   sums of parts; partitions; what fits; BLAS of a fit
likeness, grouped, modelled_noise  rows in group order: all alike, visited again
term, coordinates       a term; its effects as the search counts them
mixed, elimination, within     all terms, their order; QR level by level; by sums
nested, crossed, link_pairs, around, iterative, by_rows     factors, by their relation
"""
