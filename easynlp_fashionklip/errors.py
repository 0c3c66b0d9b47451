"""The one exception that users see: bad input, told in a sentence."""

from __future__ import annotations

EXIT_BAD_INPUT = 2


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the file, row, value and remedy. The command line prints it to stderr
    without a traceback and exits with code 2 (`EXIT_BAD_INPUT`).
    """
