"""From rows to sums; no other stage holds rows.

Comes in: `Data`, in memory, in batches or in the partitions of a Dask collection.  Goes
out: `Moments` and `Gram`, whose size depends on groups and columns only.

reduction  rows -> `Moments` per group      moments, gram, qr  the figures themselves
columns    working columns of full rank, and the way back to the user's
sample     the figures that are kept of a sample; batches join
parts      parts of the rows, each with its sums; dask has those of a collection
grouped    rows in group order, visited again (a variance for each row)
"""
