"""From rows to sums; no other stage holds rows.

Comes in: `Data`, in memory, in batches or in partitions of a Dask collection.  Goes
out: `Moments` and `Gram`, whose size depends on groups and columns only.
Weights `a` enter in reduction, elimination and grouped; `n` is their sum.

reduction, moments      the one reduction of rows, and its figures of groups
sparse_rows             the rows of a sparse X without a factor's effects
gram, qr                the blocks that the factor uses; triangular roots
columns, dependence     working columns and the way back; which others determine
sample, cells           all that `partial_fit` keeps: of one factor, of any terms
parts, dask             parts of the rows with their sums; partitions
memory, likeness        a fit that does not fit into it; groups of equal rows
grouped, mixed_noise    rows in group order, visited again (a variance for each row)
term, mixed, elimination, coordinates       any factors; QR by level and its basis
nested, crossed, link_pairs, iterative      several factors
"""
