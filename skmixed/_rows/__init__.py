"""From rows to sums; no other stage holds rows.

Comes in: `Data`, in memory, in batches or in the partitions of a Dask collection.  Goes
out: `Moments` and `Gram`, whose size depends on groups and columns only.

gram       the one reduction, its pieces, and equal groups pooled
reduction  `Data` -> `Moments`
columns    working columns of full rank, and the way back to the user's
sample     what is kept of a sample; batches join
parts      parts of the rows, each with its sums
grouped    rows in group order, visited again (a variance for each row)
dask       partitions of a Dask collection
"""
