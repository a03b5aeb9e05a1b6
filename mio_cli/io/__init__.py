"""Files to pictures and back: formats, colour profiles, metadata, and what the command line names."""

from mio_cli.io.read import DEFAULT_MAX_PIXELS, read_picture
from mio_cli.io.sources import (
    DEPTH_FOLDER,
    Source,
    find_photos,
    output_path,
    output_paths,
    photos_below,
    photos_in,
)
from mio_cli.io.write import encode_picture, losses, write_file, write_picture

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "DEPTH_FOLDER",
    "Source",
    "encode_picture",
    "find_photos",
    "losses",
    "output_path",
    "output_paths",
    "photos_below",
    "photos_in",
    "read_picture",
    "write_file",
    "write_picture",
]
