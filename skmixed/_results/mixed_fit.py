"""The fit of a linear mixed model, as the estimator keeps it and copies from it."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from .._input.factors import INTERCEPT, Factor
from .._input.label_table import KnownLabels, known_labels
from .._likelihood.covariance_posterior import MOST_PARAMETERS
from .._likelihood.mixed import FEW_EFFECTS, evaluate
from .._likelihood.mixed_posterior import MixedPosterior, make_room, observe
from .._likelihood.modelled_noise import ModelledNoise
from .._likelihood.normal import normal_interval
from .._likelihood.sampled_conditional import MOST_JOINT
from .._rows.cells import Cells
from .._rows.mixed import Reduced, without_pairs
from .._rows.modelled_noise import ModelledNoiseRows, with_levels
from .._rows.term import Term
from .._search.mixed import fit_mixed, likelihood_of
from .estimated_weights import TIMES, added_by_weights, estimated_weights
from .factor_facts import facts
from .fit import MOST_ROWS, Fit, moments_by_name, sizes_of, variance_of, wide_mask
from .inference import CoefficientUncertainty
from .iterative_fit import SampledFit, keep_sampled, kept_parameters, probe_errors
from .mixed_inference import (
    mixed_uncertainty,
    predictive_freedom,
    predictive_uncertainty,
    variance_parameters,
)
from .mixed_integrated import integrate_mixed, why_not_integrated
from .mixed_posterior import make_posterior
from .modelled_noise import FittedNoise, fitted_noise


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearMixedFit(Fit):
    """A fitted linear mixed model; tuples are by factors.

    Attributes
    ----------
    posterior : MixedPosterior
        Of all features.
    uses_groups : bool
        Whether a model of this kind has random effects where it gets labels.
    factors : tuple of Factor
    known : KnownLabels
    covariances : tuple of ndarray of shape (q, q)
        In the user's units.
    ranks : tuple of int
        Those of the covariances.
    identified : tuple of ndarray of shape (q,)
        Whether the data tell the variance of an effect.
    is_exact : bool
        Whether the noise is the rounding of an exact fit.
    n_levels : tuple of int
        Number of levels in the rows of the fit, without those of later updates.
    group_sizes : tuple of tuple of float
        Least, median and largest sum of the weights of a level.
    facts : tuple of str
        How pairs of factors lie to each other.
    mean : ndarray of shape (k,)
        Positions of the columns of the mean among the features.
    reduced : Reduced
        The rows, as far as the likelihood needs them.
    Lambdas : tuple of ndarray of shape (q, q)
        Where the likelihood is largest, in the order of elimination.
    noise_model : FittedNoise or None
        The log-variance; None where the noise is constant.
    sampled : SampledFit or None
        Of a fit by the iterative solver, which keeps no `reduced.gram`.
    cells : Cells or None
        Sums of the rows that others can join; None where they were in memory.
    noise_rows : ModelledNoise or None
        The rows beside a modelled noise, if they are few; not stored.
    """

    posterior: MixedPosterior
    uses_groups: bool
    factors: tuple[Factor, ...]
    known: KnownLabels
    covariances: tuple
    ranks: tuple
    identified: tuple
    is_exact: bool
    n_levels: tuple
    group_sizes: tuple
    facts: tuple
    mean: np.ndarray
    reduced: Reduced
    Lambdas: tuple
    noise_model: FittedNoise | None = None
    sampled: SampledFit | None = None
    cells: Cells | None = None
    noise_rows: ModelledNoise | None = field(default=None, metadata={"stored": False})

    @property
    def names_of_factors(self):
        """Names of the factors."""
        return [factor.name for factor in self.factors]

    @property
    def random_effects(self):
        """See `Fit`; where there is one factor, it has no name."""
        several = len(self.factors) > 1
        return {
            (factor.name if several else None, effect): n_levels
            for factor, n_levels in zip(self.factors, self.n_levels, strict=True)
            for effect in factor.effects
        }

    @property
    def level_sizes(self):
        """See `Fit`."""
        several = len(self.factors) > 1
        pairs = zip(self.factors, self.group_sizes, strict=True)
        return {factor.name if several else None: sizes for factor, sizes in pairs}

    @property
    def column_moments(self):
        """See `Fit`."""
        if self.reduced.total is None:
            return {}
        names, (mean, root) = [self.names[j] for j in self.features], self.reduced.total
        return moments_by_name(names, mean[1:-1], np.sum(root[:, 1:-1] ** 2, axis=0))

    def renamed(self, names):
        """See `Fit`; effects are named after the columns too."""
        effects = [*(names[j] for j in self.features), INTERCEPT]  # the last is at -1
        factors = tuple(
            replace(factor, effects=tuple(effects[j] for j in factor.columns))
            for factor in self.factors
        )
        return replace(self, names=names, factors=factors)

    @property
    def entries(self):
        """See `Fit`; columns that are not in the mean are left out."""
        places = np.append(0, 1 + self.features[self.mean])
        return places[int(not self.fit_intercept) :]

    @property
    def columns(self):
        """The `Columns` of the mean: the user's to working columns, and back."""
        return self.reduced.columns

    @property
    def order(self):
        """Positions of the factors in the order of elimination."""
        return self.reduced.order

    def point(self):
        """The likelihood at its largest."""
        if self.sampled is not None:
            raise ValueError(
                "A fit by the iterative solver has no likelihood. Fit by "
                "solver='direct'."
            )
        reml = self.method == "reml"
        model = likelihood_of(self.reduced, self.factors, reml, self.alpha)
        return evaluate(model, self.Lambdas)

    def probe_errors(self):
        """See `iterative_fit.probe_errors`; None without an iterative solver."""
        if self.sampled is None or self.alpha or self.is_exact:
            return None
        return probe_errors(self)

    def effects(self, t):
        """Effects of the levels of a factor, and the standard deviations of their
        prediction errors, (K, q) each.
        """
        return self.posterior.modes(t), _std(self.posterior.error_covariance(t))

    def effects_interval(self, t, coverage, is_integrated):
        """Intervals (K, q, 2) of the effects of a factor, normal or integrated over the
        variances.
        """
        values, std = self.effects(t)
        if not is_integrated:
            return np.stack(normal_interval(values, std, coverage), axis=-1)
        ends = self.integrated.random_effects(t).interval(coverage)
        return ends.reshape(*values.shape, 2)

    def totals(self, t):
        """Coefficients and effects of the levels of a factor together, and the standard
        deviations of their errors, (K, q) each.
        """
        term = self.posterior.terms[t]
        # -1, the last one, is the constant.
        places = np.append(1 + self.features, 0)[np.array(self.factors[t].columns)]
        values = self.posterior.modes(t) + self.coefficients[places]
        errors = self.coefficients_root[places] - term.basis @ term.loading
        known = self.posterior.conditional_covariance(t)
        variances = np.diagonal(known, axis1=1, axis2=2) + np.sum(errors**2, axis=2)
        return values, np.sqrt(variances.clip(0))

    def noise_variance_of(self, X, codes):
        """See `Fit`."""
        if self.noise_model is not None:
            return self.noise_model.log_variance.variance(X, codes)
        return np.full(X.shape[0], self.noise)

    @property
    def variance_alpha(self):
        """Ridge penalty of the log-variance."""
        return 0.0 if self.noise_model is None else self.noise_model.alpha

    @property
    def variance_estimable(self):
        """See `Fit`."""
        return None if self.noise_model is None else self.noise_model.estimable

    @property
    def log_variance(self):
        """See `Fit`."""
        return None if self.noise_model is None else self.noise_model.log_variance

    def variance_parameters(self):
        """The `VarianceParameters` of the covariances and the level of the noise."""
        if self.noise_model is not None:
            return self.noise_model.components(self.point())
        if not self.sampled:
            return variance_parameters(self.point())
        model = likelihood_of(self.reduced, self.factors, True, 0.0)
        return kept_parameters(self.sampled, model, self.Lambdas, self.noise)

    def coefficient_uncertainty(self, parameters=None):
        """See `Fit`; `parameters` are `variance_parameters()`, where they are known."""
        if self.alpha:
            return None
        root = self.coefficients_root
        if self.is_exact:
            return CoefficientUncertainty.untold(root)
        if parameters is None:
            parameters = self.variance_parameters()
        if self.noise_model is not None:
            return self.noise_model.uncertainty(parameters.point, root)
        if self.sampled:
            known = parameters.covariance
            return CoefficientUncertainty(root, self.sampled.slopes, known)
        J, _ = self.columns.to_user(self.fit_intercept)
        wide = np.zeros((1 + len(self.names), J.shape[1]))
        wide[0], wide[1 + self.features[self.mean]] = J[0], J[1:]
        return mixed_uncertainty(parameters, wide)

    def freedom_of(self, X, codes):
        """See `Fit`."""
        self.refuse_penalty()
        if self.is_exact:
            return np.full(X.shape[0], np.inf)
        if self.noise_model is not None:
            known = self._predictive_uncertainty
            return self.noise_model.freedom(known, self.posterior, X, codes)
        if self.sampled:
            raise ValueError(
                "distribution='t' needs the covariance of all effects, which a fit by "
                "solver='iterative' does not have. Use 'normal'."
            )
        known = self._predictive_uncertainty
        return predictive_freedom(known, self.posterior, X, codes)

    @cached_property
    def _predictive_uncertainty(self):
        # The likelihood, which costs the memory, is left out.
        if self.noise_model is not None:
            return self.noise_model.predictive_uncertainty(self.point())
        return predictive_uncertainty(self.point())

    def added_variance(self, X, codes):
        """See `Fit`: with so many parameters that they are not integrated over, twice
        the term of Kackar and Harville, math.md (207).
        """
        forms = self._estimated_weights
        if forms is None:
            return np.zeros(X.shape[0])
        return TIMES * added_by_weights(forms, self.posterior, X, codes)

    @cached_property
    def _estimated_weights(self):
        n_parameters = sum(factor.n_parameters for factor in self.factors)
        n_effects = sum(term.modes.size for term in self.posterior.terms)
        other = self.is_exact or self.noise_model is not None or self.is_updated
        if other or n_parameters <= MOST_PARAMETERS or n_effects > FEW_EFFECTS:
            return None
        return estimated_weights(self.point(), self.reduced.places)

    @property
    def most_joint_rows(self):
        """See `Fit`."""
        return MOST_JOINT if self.sampled else np.inf

    @property
    def why_not_integrated(self):
        """See `Fit`."""
        return why_not_integrated(self)

    def _integrate(self):
        return integrate_mixed(self)

    def noise_at(self, gamma, X, codes):
        """Variance of each row's noise, in units of its geometric mean, at coefficients
        of the log-variance.
        """
        fitted = self.noise_model.at(gamma, self.noise)
        return fitted.variance(X, codes)

    def observed(self, X, y, codes, known, moved):
        """The fit after further rows of levels `codes`; `known` are the labels then,
        and `moved` the places of the levels that the fit knows, both by factor.
        """
        n_levels = [len(levels) for levels in known.levels]
        posterior = make_room(self.posterior, moved, n_levels)
        noise_variance = self.noise_variance_of(X, codes)
        posterior = observe(posterior, X, y, codes, noise_variance)
        return replace(self, known=known, posterior=posterior, is_updated=True)

    def attributes(self):
        """See `Fit`."""
        posterior, names = self.posterior, self.names_of_factors

        def by_factor(figure):
            return {name: figure(t) for t, name in enumerate(names)}

        effects = [np.array(f.effects, dtype=object) for f in self.factors]
        is_constant = self.noise_model is None
        of_noise = {"noise_variance_": self.noise} if is_constant else {}
        return super().attributes() | {
            **of_noise,
            "groups_": by_factor(self.known.labels_of),
            "random_effects_": by_factor(posterior.modes),
            "random_effects_std_": by_factor(
                lambda t: _std(posterior.error_covariance(t))
            ),
            "random_effects_conditional_std_": by_factor(
                lambda t: _std(posterior.conditional_covariance(t))
            ),
            "random_effects_covariance_": by_factor(self.covariances.__getitem__),
            "random_effects_names_": by_factor(effects.__getitem__),
            "group_names_in_": np.array(self.known.names, dtype=object),
        }


def _std(covariances):
    """Standard deviations (K, q) from covariance matrices (K, q, q)."""
    return np.sqrt(np.diagonal(covariances, axis1=1, axis2=2).clip(0))


def fit_factors(data, factors, mean, columns, *, uses_groups, method, alpha, **options):
    """Fit by (restricted) maximum likelihood.

    Parameters
    ----------
    data : Data
        With a `LabelTable` as its index, or None.
    factors : tuple of Factor
    mean : ndarray of shape (k,)
        Positions of the columns of the mean among the features.
    columns : tuple of str
        Names of the columns of the user's X.
    uses_groups : bool
        Whether a model of this kind has random effects where it gets labels.
    method : {"reml", "ml"}
    alpha : float
    **options
        Further arguments of `fit_mixed`; of a `noise` partitions have labels.

    Returns
    -------
    fit : LinearMixedFit
    found : MixedOptimum
    """
    known, terms = _terms(data, factors)
    reml = method == "reml"
    options["noise"] = _with_levels(options.get("noise"), known)
    found = fit_mixed(data, terms, mean=mean, reml=reml, alpha=alpha, **options)
    where = found.mean, data.X.shape[1]
    posterior = make_posterior(found.point, found.reduced, terms, *where)
    pairs = list(zip(found.ranks, found.identified, strict=True))
    noise_model = fitted_noise(found, data.features, len(columns))
    fit = LinearMixedFit(
        names=columns,
        features=data.features,
        method=method,
        fit_intercept=options["fit_intercept"],
        alpha=alpha,
        posterior=posterior,
        estimable=wide_mask(
            found.columns.estimable, data.features[found.mean], len(columns)
        ),
        at_boundary=any(bool(rank < told.sum()) for rank, told in pairs),
        n_rows=found.reduced.n,
        n_parameters=_n_parameters(found, factors),
        log_likelihood=found.log_likelihood,
        **_shares(found.reduced, posterior, found.noise_variance),
        n_iter=found.n_iter,
        converged=found.converged,
        uses_groups=uses_groups,
        factors=factors,
        known=known,
        covariances=found.covariances,
        ranks=tuple(int(rank) for rank, _ in pairs),
        identified=found.identified,
        is_exact=bool(found.exact),
        **_levels(data, terms),
        mean=found.mean,
        **_solved(found, posterior, data, terms),
        Lambdas=found.point.Lambdas,
        noise_model=noise_model,
        noise_rows=_few_rows(found),
    )
    return fit, found


def _with_levels(noise, known):
    """The log-variance, with levels in partitions that workers hold."""
    if noise is None or noise.partitions is None:
        return noise
    return replace(noise, partitions=noise.partitions.map(with_levels, known))


def _few_rows(found):
    """The rows beside a modelled noise, None where they are many, or with workers."""
    if found.noise_problem is None:
        return None
    noise = found.noise_problem.noise
    few = isinstance(noise.rows, ModelledNoiseRows) and noise.rows.n_rows <= MOST_ROWS
    return noise if few else None


def _n_parameters(found, factors):
    """Number of coefficients and variance parameters."""
    n_variances = 1 if found.noise_problem is None else found.noise_problem.columns.rank
    return found.columns.rank + n_variances + sum(f.n_parameters for f in factors)


def _terms(data, factors):
    """Labels of the fit, and the factors with the levels of the rows."""
    if not factors:
        return KnownLabels((), (), (), ()), ()
    known, codes = known_labels(data.index, tuple(f.labels for f in factors))
    terms = tuple(
        Term(f.name, known.labels_of(t), codes[t], np.array(f.columns), f.blocks)
        for t, f in enumerate(factors)
    )
    return known, terms


def _solved(found, posterior, data, terms):
    """Fields of the fit that depend on the solver."""
    if not found.point.factor.is_sampled:
        return {"reduced": without_pairs(found.reduced)}
    codes = [term.codes for term in terms]
    sampled = keep_sampled(found.point, posterior, data.X, codes)
    return {"reduced": replace(found.reduced, gram=None), "sampled": sampled}


def _levels(data, terms):
    """Fields of the fit that say of whom the rows are."""
    sizes = [np.bincount(t.codes, data.weight, t.n_levels) for t in terms]
    return {
        "n_levels": tuple(term.n_levels for term in terms),
        "group_sizes": tuple(map(sizes_of, sizes)),
        "facts": tuple(facts(terms)),
    }


def _shares(reduced, posterior, noise):
    """Variances of the features' part of the mean, of the effects and of the noise, and
    the mean and the scatter of y.
    """
    (mean, root), n, between = reduced.total, reduced.n, 0.0
    for term in posterior.terms:
        places = 1 + term.columns
        z = root[:, places] + root[:, :1] * (mean[places] - term.origin)
        z /= term.unit
        between += np.sum((z @ term.Psi) * z)
    return {
        "response": (float(mean[-1]), float(np.sum(root[:, -1] ** 2))),
        "explained": variance_of(root[:, 1:-1] @ posterior.coef, n),
        "between": float(between / n),
        "noise": noise,
    }
