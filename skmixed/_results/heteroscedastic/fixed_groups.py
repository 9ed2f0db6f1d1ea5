"""Fixed effects of groups in the user's terms (docs/math.md, 9.9).

The fit has a level for every group, and coefficients of the columns that vary within
groups.  A column that is constant within groups is not identified beside such levels;
intercept, coefficients and effects are those of minimal norm, as of a model with
one-hot columns.  Then the effects sum to zero, and a group that was not seen has
effect 0.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..._likelihood.posterior import Posterior, condition
from ..._rows.qr import EPS


@dataclass(frozen=True)
class Sharing:
    """A split of the levels of the groups into intercept, columns and effects.

    Attributes
    ----------
    shift : ndarray of shape (p,)
        Where levels are counted: 0 without an intercept.
    null : ndarray of shape (p, s)
        Directions of X that are constant within groups.
    weights : ndarray of shape (1 + s, G)
        From levels to the average level and the coefficients of `null`.
    offset : ndarray of shape (G, s)
        Where the groups are in `null`, from the average group.
    average : ndarray of shape (s,)
        Where the average group is, from `shift`.
    moved : ndarray of shape (G, r)
        Change of basis: the levels beside the user's columns at `shift` are those
        beside the working columns, plus moved @ beta.  Dependent columns differ by
        columns that are constant within groups.
    """

    shift: np.ndarray
    null: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    average: np.ndarray
    moved: np.ndarray

    def effects(self, levels):
        """Average level at `shift`, coefficients of `null`, effects."""
        average, *along = self.weights @ levels
        along = np.array(along)
        effects = levels - average - self.offset @ along
        return average - self.average @ along, along, effects


def share(columns, moments, has_intercept):
    """The `Sharing` of fitted levels into an intercept, coefficients of columns that
    are constant within groups, and effects of least norm: math.md, section 9.9.

    Parameters
    ----------
    columns : Columns
        Of those that vary within groups, without a constant.
    moments : Moments
        Of the user's columns [X y].
    has_intercept : bool
    """
    p, n_groups = len(columns.shift), len(moments.size)
    shift = columns.shift if has_intercept else np.zeros(p)
    # A column of one value is left out, so that its coefficient is 0 exactly.
    varies = moments.spread[:p] > 0
    if not has_intercept:
        varies |= moments.shift[:p] != 0
    basis = np.linalg.qr(columns.back[varies], mode="complete")[0]
    null = np.zeros((p, len(basis) - columns.back.shape[1]))
    null[varies] = basis[:, columns.back.shape[1] :]
    place = (moments.mean[:, :p] + (moments.shift[:p] - shift)) @ null
    equal = np.full(n_groups, has_intercept / n_groups)
    average = equal @ place
    offset = place - average
    left, size, right = np.linalg.svd(offset, full_matrices=False)
    size[size <= max(offset.shape) * EPS * size.max(initial=0.0)] = 0.0
    along = right.T @ ((size / (size**2 + 1))[:, None] * left.T)
    moved = moments.mean[:, :p] @ (columns.into - columns.back)
    moved -= (columns.shift - shift) @ columns.back
    return Sharing(shift, null, np.vstack([equal, along]), offset, average, moved)


def fixed_posterior(columns, factor, moments, has_intercept):
    """The posterior of a factor with fixed effects, in the user's terms.

    Returns
    -------
    posterior : Posterior
        Its modes are the effects.  A new group has that of the average group, and no
        variance of its own.
    effects_std : ndarray of shape (G,)
    """
    n_groups = len(moments.size)
    plain = condition(columns, factor, 1.0, n_groups)
    sharing = share(columns, moments, has_intercept)
    levels = plain.modes + sharing.moved @ factor.beta + columns.y_shift
    loading = plain.loading - sharing.moved @ factor.root_inverse
    level, along, effects = sharing.effects(levels)
    # Errors of the average level and of the coefficients of `null`: those that come
    # with the coefficients, and those of the groups' own levels.
    weights = sharing.weights
    own = np.linalg.qr((weights * np.sqrt(plain.modes_variance)).T, mode="r").T
    own = np.pad(own, ((0, 0), (0, len(weights) - own.shape[1])))
    errors = np.hstack([-weights @ loading, own])
    level_root = errors[0] - sharing.average @ errors[1:]
    wide = np.pad(plain.coef_root, ((0, 0), (0, len(weights))))
    of_group = np.pad(loading, ((0, 0), (0, len(weights))))
    of_group += errors[0] + sharing.offset @ errors[1:]
    in_average = weights[0] + np.sum(sharing.offset * weights[1:].T, axis=1)
    variance = plain.modes_variance * (1 - 2 * in_average)
    variance += np.sum(of_group**2, axis=1)
    posterior = Posterior(
        shift=sharing.shift,
        level=float(level),
        coef=plain.coef + sharing.null @ along,
        level_root=level_root,
        coef_root=wide + sharing.null @ errors[1:],
        modes=effects,
        modes_variance=plain.modes_variance,
        loading=of_group,
        group_variance=0.0,
    )
    return posterior, np.sqrt(np.maximum(variance, 0.0))


def penalised_posterior(columns, factor, n_groups, has_intercept):
    """The posterior of a factor with fixed effects under a ridge penalty.

    The effects sum to zero beside an intercept, of which the ridge knows nothing: it
    leaves their mean its prior variance 1 / (n_groups kappa), independently of all that
    the data tell, and as much to the intercept.  Both are taken off.

    Returns
    -------
    posterior, effects_std
        As of `fixed_posterior`.
    """
    plain = condition(columns, factor, 1.0, n_groups)
    superfluous = has_intercept * plain.group_variance / n_groups
    effects_std = np.sqrt(np.maximum(plain.modes_std() ** 2 - superfluous, 0.0))
    level_root = plain.level_root.copy()
    if has_intercept:
        # The part of the level's error that the coefficients have no part in.
        _, _, directions = np.linalg.svd(plain.coef_root)
        alone = directions[-1]
        size = level_root @ alone
        rest = np.sqrt(max(size**2 - superfluous, 0.0))
        level_root += (np.copysign(rest, size) - size) * alone
    posterior = replace(
        plain,
        level_root=level_root,
        loading=plain.loading + level_root - plain.level_root,
        group_variance=0.0,
    )
    return posterior, effects_std
