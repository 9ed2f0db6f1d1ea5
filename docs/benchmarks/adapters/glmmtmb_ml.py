"""glmmTMB by maximum likelihood, which takes much less memory than its REML."""

from dataclasses import replace

from adapters import glmmtmb

ADAPTER = replace(glmmtmb.ADAPTER, name="glmmTMB (ML)", methods=("ml",))
