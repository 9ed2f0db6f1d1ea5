"""The page on training with the joint likelihood: its programs for other libraries."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmixed.metrics import joint_gaussian_nll, joint_gaussian_nll_gradient

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def program(name):
    """The object that a block of the page defines under a name."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = (b for b in blocks if f" {name}(" in b and ">>>" not in b)
    names = {"joint_gaussian_nll_gradient": joint_gaussian_nll_gradient}
    exec(block, names)
    return names[name]


def data(n=400):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(n // 8), 8)
    X = rng.uniform(-2, 2, size=(n, 2))
    y = np.sin(2 * X[:, 0]) + rng.normal(size=n // 8)[groups]
    return X, y + 0.3 * rng.normal(size=n), groups


def test_the_objective_is_gradient_and_second_derivative():
    _, y, groups = data()
    objective = program("joint_objective")(groups, 0.5, 2.0)
    gradient, hessian = objective(y, np.zeros(len(y)))
    step = 1e-5
    for j in (0, 77):
        ends = []
        for sign in (1, -1):
            mean = np.zeros(len(y))
            mean[j] = sign * step
            ends.append(joint_gaussian_nll_gradient(y, mean, 0.5, 2.0, groups)[:2])
        slope = (ends[0][0] - ends[1][0]) / (2 * step)
        curvature = (ends[0][1][j] - ends[1][1][j]) / (2 * step)
        # Central differences of a quadratic function: rounding alone.
        assert_allclose(gradient[j], slope, rtol=1e-6)
        assert_allclose(hessian[j], curvature, rtol=1e-6)


def test_lightgbm_grows_trees_on_the_joint_likelihood():
    lightgbm = pytest.importorskip("lightgbm")
    X, y, groups = data()
    objective = program("joint_objective")(groups, 0.1, 1.0)
    model = lightgbm.LGBMRegressor(
        objective=objective, num_leaves=8, n_estimators=50, verbose=-1, n_jobs=1
    )
    model.fit(X, y)
    mean = model.predict(X)
    trained = joint_gaussian_nll(y, mean, 0.1, 1.0, groups)
    flat = joint_gaussian_nll(y, np.zeros(len(y)), 0.1, 1.0, groups)
    assert trained < flat - 200
    assert np.corrcoef(mean, np.sin(2 * X[:, 0]))[0, 1] > 0.95


def test_pytorch_gets_the_derivatives():
    torch = pytest.importorskip("torch")
    loss = program("JointGaussianNLL")
    _, y, groups = data(40)
    heads = [np.zeros(40), np.linspace(-1, 1, 40), np.array(0.3)]
    tensors = [torch.tensor(head, requires_grad=True) for head in heads]
    value = loss.apply(*tensors, torch.tensor(y), groups)
    (2 * value).backward()
    found, *by = joint_gaussian_nll_gradient(
        y, heads[0], np.exp(heads[1]), float(np.exp(0.3)), groups
    )
    assert_allclose(value.item(), found, rtol=1e-12)
    for tensor, slope in zip(tensors, [by[0], by[1], by[2].sum()], strict=True):
        assert_allclose(tensor.grad.numpy(), 2 * slope, rtol=1e-12)
