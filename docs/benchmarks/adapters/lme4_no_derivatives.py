"""lmer of lme4 without its check of convergence, which its own guide calls slow."""

from adapters.lme4 import PROGRAM
from adapters.r_packages import r_adapter

QUICK = "REML = reml, control = lmerControl(calc.derivs = FALSE)"
ADAPTER = r_adapter(
    "lme4, calc.derivs = FALSE",
    "lme4",
    PROGRAM.replace("REML = reml", QUICK),
    methods=("reml", "ml"),
)
