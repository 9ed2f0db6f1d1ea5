"""From rows to sums; no other stage holds rows.

Comes in: `Data`, in memory, in batches or in partitions of a Dask collection.  Goes
out: `Moments` and `Gram`, whose size depends on groups and columns only.

reduction, moments      the one reduction of rows, and its figures of groups
sparse_rows             the rows of a sparse X without a factor's effects
gram, qr                the blocks that the factor uses; triangular roots
columns, dependence     working columns and the way back; which others determine
sample, parts, dask     batches that join; parts of the rows with their sums; partitions
memory                  a fit that does not fit into it
likeness                groups whose rows are all alike
grouped, mixed_noise    rows in group order, visited again (a variance for each row)
term, mixed, cells      one term of random effects; all of them; batches that join
elimination, coordinates, nested, crossed, link_pairs, iterative     effects of factors
"""
