"""Free memory, as far as the operating system tells."""

import os
from pathlib import Path

GB = 1e9
MEMINFO = Path("/proc/meminfo")
# Limit and use of the container that the process is in: both versions of Linux's.
LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def free_memory():
    """Bytes of memory that can be had; None where the system does not tell.

    Linux hands out more than it has, and ends processes that use it, so that nothing
    raises a MemoryError there.  Elsewhere it is all that the machine has, as macOS
    tells, beyond which a fit would swap for hours; Windows refuses by itself.
    """
    found = []
    for line in _text(MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            found.append(1024 * int(line.split()[1]))
    for limit, use in LIMITS:
        figures = _text(Path(limit)).strip(), _text(Path(use)).strip()
        if all(text.isdigit() for text in figures):
            found.append(int(figures[0]) - int(figures[1]))
    return min(found, default=_physical())


def _physical():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def check_memory(needed, subject, remedy):
    """Raise a MemoryError before there is no memory left.

    Parameters
    ----------
    needed : float
        Bytes.
    subject : str
        Whatever needs them, the beginning of a sentence.
    remedy : str
        A sentence.
    """
    free = free_memory()
    if free is not None and needed > free:
        raise MemoryError(
            f"{subject} needs about {needed / GB:.3g} GB for the fit, and "
            f"{max(free, 0) / GB:.3g} GB can be had. {remedy}"
        )


def _text(path):
    try:
        return path.read_text()
    except OSError:
        return ""
