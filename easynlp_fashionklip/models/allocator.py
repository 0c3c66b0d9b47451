"""Keep glibc from handing every activation back to the kernel between two batches."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import platform

logger = logging.getLogger(__name__)

# Names and numbers of malloc.h; the values are ours.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_LEAVE = "FASHIONKLIP_LEAVE_ALLOCATOR"  # in the environment, so that child processes do the same
_NEVER_TRIM, _GROW_BY = 2**31 - 1, 512 << 20


def release_freed_memory() -> None:
    """Give freed blocks back to the kernel: after a phase that needed much memory, before one that needs little."""
    if platform.libc_ver()[0] == "glibc":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def leave_as_it_is() -> None:
    """Make `keep_freed_memory` do nothing, where memory matters more than speed; call before the first model."""
    os.environ[_LEAVE] = "1"


@functools.cache
def keep_freed_memory() -> bool:
    """Let the process reuse freed blocks instead of unmapping them. Returns whether the settings took.

    By default glibc maps every block above 32 MB at most anew and unmaps it when freed, so a convolution tower pays
    page faults for each activation of each batch: about 6 times slower in MobileNetV2 at 224 px. The price is that the
    resident set stays at its peak. Runs once per process and does nothing where the C library is not glibc.
    """
    if os.environ.get(_LEAVE) or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError) as error:
        logger.debug("glibc's mallopt cannot be reached (%s); convolutions on the CPU will be slower", error)
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER_TRIM), (_M_TOP_PAD, _GROW_BY))
    accepted = [mallopt(option, value) == 1 for option, value in settings]  # a list: each call must be made
    return all(accepted)
