"""This package by maximum likelihood: to compare with those that offer no REML."""

from dataclasses import replace

from adapters import skmixed

ADAPTER = replace(skmixed.ADAPTER, name="skmixed (ML)", methods=("ml",))
