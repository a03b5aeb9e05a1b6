"""A picture with what is known of the file that it was read from."""

from __future__ import annotations

from dataclasses import dataclass

from mio_cli.core.picture import Picture


@dataclass(frozen=True, eq=False)
class FilePicture(Picture):
    """A picture as it was read. What is here only serves to say what will be lost.

    Attributes:
        stored_bits: bits per channel in the file; for AVIF and HEIC it may be 10 or 12, where
            ``bit_depth`` is 16.
        left_behind: what the file holds beside the photo and is not written with it, a sentence each.
    """

    stored_bits: int = 8
    left_behind: tuple[str, ...] = ()
