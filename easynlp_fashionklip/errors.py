"""The one exception that users see: bad input, told in a sentence."""

from __future__ import annotations

import errno
from pathlib import Path

EXIT_BAD_INPUT = 2

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "the file grew too large"}


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file, row, value and remedy. The command line prints it to stderr
    without a traceback and exits with code 2 (`EXIT_BAD_INPUT`).
    """


def storage_error(path: Path, error: OSError) -> InputError:
    """The sentence for a failed write: what is full or forbidden, and that nothing was lost."""
    reason = _FULL.get(error.errno or 0) or error.strerror or str(error)
    return InputError(
        f"{path} cannot be written: {reason}; free some space or give another folder. What was there before is intact."
    )
