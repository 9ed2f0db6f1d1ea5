"""Make torch_gaussian_nll.json, what PyTorch's GaussianNLLLoss says.

python torch_gaussian_nll.py >torch_gaussian_nll.json    (PyTorch is no dependency)
"""

import json

import torch

CASES = [
    {"y": [0.3, -1.2, 2.0, 5.0], "mean": [0.0, -1.0, 2.5, 1.0], "std": [1, 0.5, 2, 3]},
    {"y": [1.0, 2.0], "mean": [1.0, 2.5], "std": [1e-4, 0.5]},  # below the default eps
    {"y": [1.0, 2.0, 3.0], "mean": [1.1, 2.0, 2.0], "std": [0.0, 0.1, 1.0]},
    {"y": [1.0, 2.0], "mean": [1.5, 2.5], "std": [0.01, 0.5], "eps": 0.01},
    {"y": [1e3, -1e3], "mean": [0.0, 0.0], "std": [100.0, 1e3], "eps": 1e-12},
]


def loss(case):
    """The mean loss in double precision."""
    y, mean, std = (
        torch.tensor(case[key], dtype=torch.float64) for key in ("y", "mean", "std")
    )
    options = {"eps": case["eps"]} if "eps" in case else {}
    return torch.nn.GaussianNLLLoss(full=True, **options)(mean, y, std**2).item()


if __name__ == "__main__":
    cases = [{**case, "loss": loss(case)} for case in CASES]
    print(json.dumps({"torch": torch.__version__, "cases": cases}, indent=1))
