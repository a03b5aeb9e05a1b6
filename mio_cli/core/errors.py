"""Errors a user can do something about: what happened, what to do next, and the exit code."""

from __future__ import annotations

import errno

EXIT_OK = 0
EXIT_NOTHING_WORKED = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where nothing more can be written."""


class MioError(Exception):
    """A failure with a plain one-line message and, where there is one, a remedy.

    Args:
        message: what went wrong, naming the file or value.
        hint: what the user can do about it, or an empty string.
    """

    exit_code: int = EXIT_NOTHING_WORKED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(MioError):
    """The command line (or call) itself cannot be carried out as written."""

    exit_code = EXIT_USAGE


class PhotoError(MioError):
    """One photo cannot be read, restored or written; others may still be fine."""


class WeightsError(MioError):
    """Model weights are missing, damaged or do not fit the network."""


class WrongModelError(WeightsError):
    """The model that is asked for is none, or does something else than what is asked."""

    exit_code = EXIT_USAGE


class RecipeError(MioError):
    """A recipe file is wrong; the message names the key, the file and what is allowed."""

    exit_code = EXIT_USAGE


class DataError(MioError):
    """Training or evaluation data is missing or unusable."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out. torch's allocator and oneDNN do it by a RuntimeError."""
    words = "allocate memory", "could not create a primitive"
    return isinstance(error, MemoryError) or any(each in str(error) for each in words)
