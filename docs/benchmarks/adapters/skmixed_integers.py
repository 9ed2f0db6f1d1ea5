"""This package on the integers behind the labels, to hold other labels against."""

from dataclasses import replace

from adapters import skmixed


def prepare(problem, data):
    """The same fit on integer labels."""
    return skmixed.prepare(problem, replace(data, groups=data.codes))


ADAPTER = replace(skmixed.ADAPTER, name="skmixed, integer labels", prepare=prepare)
