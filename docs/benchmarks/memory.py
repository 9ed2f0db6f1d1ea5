"""How far the resident memory of this process rises during a call; Linux only."""

import contextlib
import ctypes
import gc

STATUS, CLEAR = "/proc/self/status", "/proc/self/clear_refs"


def settle():
    """Give freed memory back, so that a fit cannot take it again unnoticed."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def watch(function):
    """The result of the function, and the bytes by which the peak exceeds the start.

    None for the bytes where the kernel does not tell.
    """
    settle()
    try:
        with open(CLEAR, "w") as file:
            file.write("5")  # the peak starts anew from here
        before = _status("VmRSS")
    except OSError:
        return function(), None
    result = function()
    return result, _status("VmHWM") - before


def resident():
    """Bytes of this process that are in memory now."""
    return _status("VmRSS")


def highest():
    """Most bytes of this process that have been in memory at a time."""
    return _status("VmHWM")


def _status(name):
    with open(STATUS) as file:
        line = next(line for line in file if line.startswith(name))
    return 1024 * int(line.split()[1])
