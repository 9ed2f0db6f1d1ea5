"""The likelihood with a noise variance for every row (docs/math.md, section 9).

Comes in: rows with labels.  Goes out: value, score and information at a point.

assembly            from rows to the likelihood: columns, rows in order, parameters
criterion           its value at one point
residuals, visit    sums over the rows for the derivatives
derivatives         score and information, made of these sums
gamma_regression    a regression of squared residuals, to start from
"""
