"""What to restore and where to put it: files, folders, globs and ``-`` to photos, photos to output paths."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import cast

from mio_cli.core.errors import DataError, UsageError
from mio_cli.io.formats import FORMATS, READABLE, UNREAD, format_for, format_of_suffix, sniff

STREAM = Path("-")
"""Standard input as a source, standard output as a target."""

DEPTH_FOLDER = "depth"
"""Subfolder for the depth maps of the photos beside it."""

_MARK, _COMPARISON = ".restored", ".compare"
_HEAD = 64  # bytes that show the format
_ARCHIVE_LEFTOVERS = "__MACOSX"  # a folder of previews in archives made by macOS


@dataclass(frozen=True)
class Source:
    """One photo to restore.

    Attributes:
        path: the file as the user would name it, or ``-`` for standard input.
        root: the folder it was found under; outputs in a folder mirror the path from there.
    """

    path: Path
    root: Path | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the photo comes from standard input."""
        return self.path == STREAM


def find_photos(
    paths: Sequence[str], *, skip: Path | None = None, note: Callable[[str], None] = lambda text: None
) -> list[Source]:
    """The photos that command-line arguments name, in the order of the arguments, each once.

    Folders are searched to any depth and in natural order (2 before 10). Hidden files, files that are no
    photos, outputs of ours (``*.restored.*``) and links to folders are passed over there. A pattern
    that the shell left alone is expanded here, unless a file really has that name. One that it expanded
    names our outputs, too: they are passed over if the photo that they were made from is named as well, and
    before/after pictures if any photo is.
    A file that is missing comes back as a source: reading it tells the user.

    Args:
        paths: files, folders, patterns such as ``"scans/**/*.jpg"``, or ``-``.
        skip: a folder inside the searched ones that is not searched: where the outputs go.
        note: called with a sentence if folders also hold photos that cannot be read, and if some are named
            more than once.

    Raises:
        UsageError: a folder holds no photo, or a pattern matches none.
    """
    unique: dict[str, Source] = {}
    unread: set[str] = set()
    again: set[str] = set()
    for argument in paths:
        if skip is not None and len(paths) > 1 and os.path.isdir(argument) and _same(Path(argument), skip):
            continue  # as what shells make of album/* with --output album/new
        for source in _named_by(argument, skip, unread):
            key = "-" if source.is_stream else os.path.realpath(source.path)
            if unique.setdefault(key, source) is not source:
                again.add(key)
    if earlier := _earlier_results(unique):
        unique = {key: source for key, source in unique.items() if key not in earlier}
        note(f"passed over results of earlier runs: {len(earlier)}")
    if unread:
        note(f"passed over photos that mio does not read: {_kinds(unread)}")
    if again:
        note(f"named more than once, taken once: {len(again)} photo{'s' * (len(again) > 1)}")
    return _unambiguous(list(unique.values()))


def photos_in(folder: Path) -> list[Path]:
    """The photos directly in ``folder``, in natural order.

    Raises:
        DataError: there are none.
    """
    found = [path for path in folder.glob("*") if path.is_file() and _is_wanted(path.name)]
    if not found:
        raise DataError(f"no photos in {folder}", hint=f"mio reads {READABLE}")
    return sorted(found, key=natural_key)


def photos_below(folder: Path, skip: Iterable[Path] = ()) -> list[Path]:
    """The photos in ``folder`` and its subfolders, in natural order; see :func:`find_photos`.

    Args:
        skip: subfolders that are passed over, as those of depth maps are.

    Raises:
        DataError: there are none, or no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder" if folder.exists() else f"there is no folder {folder}")
    skipped = [each for each in skip if _below(folder, each)]

    def is_searched(parent: Path) -> bool:
        depth = DEPTH_FOLDER in parent.relative_to(folder).parts
        return not depth and not any(_is_inside(parent, each) for each in skipped)

    found = _walk(folder, None, set())
    searched = set(filter(is_searched, {path.parent for path in found}))
    if not searched:
        raise DataError(f"no photos in {folder}", hint=f"mio reads {READABLE}")
    return [path for path in found if path.parent in searched]


def output_path(source: Source, output: str | Path | None, *, several: bool = False) -> Path:
    """Where the restored photo goes.

    Args:
        source: the photo.
        output: None for ``photo.restored.jpg`` beside the photo (standard output for standard input),
            ``-`` for standard output, else a file or a folder. It is a folder if one exists there, if
            it ends in ``/``, with ``several``, or if the source was found in a folder and ``output`` has
            no photo's suffix; names and subfolders of the sources are kept in it.
        several: more than one photo is being restored.

    Raises:
        UsageError: the output is the photo itself, its suffix belongs to no format, or there is something
            that is no file, such as a pipe, which a file would replace.
    """
    if (output is None and source.is_stream) or str(output) == "-":
        return STREAM
    if output is None:
        stem, suffix = _name_parts(source)
        target = source.path.with_name(f"{stem}{_MARK}{suffix}")
    elif several or _names_folder(source, output):
        target = Path(output) / _folder(source) / "".join(_name_parts(source))
    else:
        target = _path(output)
    format_for(target, "PNG")
    if not source.is_stream and _same(target, source.path):
        raise UsageError(f"'{target}' is the photo itself", hint="choose another --output")
    if target.exists() and not target.is_file() and not target.is_dir():
        raise UsageError(f"'{target}' is no file but a device or a pipe", hint="--output - writes to a pipe")
    return target


def comparison_paths(targets: Sequence[Path]) -> list[Path]:
    """Where the before/after pictures of restored photos go: ``photo.compare.jpg`` beside each.

    Of photos that differ in the suffix alone it is ``photo.png.compare.jpg``.
    """
    alike = Counter(_file(target.with_suffix("")) for target in targets)

    def beside(target: Path) -> Path:
        suffix = target.suffix if alike[_file(target.with_suffix(""))] > 1 else ""
        return target.with_name(f"{target.stem.removesuffix(_MARK)}{suffix}{_COMPARISON}.jpg")

    return [beside(target) for target in targets]


def output_paths(
    sources: Sequence[Source], output: str | Path | None, *, compare: bool = False
) -> list[Path]:
    """:func:`output_path` of each source, once it is sure that no file would be written twice or replaced.

    Args:
        compare: before/after pictures are written, too.

    Raises:
        UsageError: two photos would get the same output, or an output is one of the photos.
    """
    several = len(sources) > 1
    if several and output and format_of_suffix(Path(output).suffix) and not _is_folder(output):
        raise UsageError(
            f"{len(sources)} photos do not go into one file, '{output}'",
            hint=f"name a folder, if need be '{output}/'",
        )
    targets = [output_path(source, output, several=several) for source in sources]
    inputs = {_file(source.path) for source in sources if not source.is_stream}
    writers: dict[str, Source] = {}
    comparisons = comparison_paths(targets)
    for source, target, comparison in zip(sources, targets, comparisons, strict=True):
        for written in [target] if target == STREAM or not compare else [target, comparison]:
            key = "-" if written == STREAM else _file(written)
            if key in writers:
                raise UsageError(
                    f"'{writers[key].path}' and '{source.path}' would both be written to '{written}'",
                    hint="name the folder that holds both, or an --output for each, one after the other",
                )
            if key in inputs:
                raise UsageError(
                    f"'{written}' is one of the photos to restore", hint="choose another --output"
                )
            writers[key] = source
    return targets


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts ``img2`` before ``img10``, and without regard to case."""
    parts = re.split(r"(\d+)", str(path).casefold().replace(os.sep, "\0"))
    return [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts]


def _named_by(argument: str, skip: Path | None, unread: set[str]) -> list[Source]:
    if not argument:
        raise UsageError("a photo's name is empty", hint="leave the quotes out, or name a photo or a folder")
    if argument == "-" or (os.path.lexists(argument) and not os.path.isdir(argument)):
        return [Source(_path(argument))]
    if os.path.isdir(argument):
        others: set[str] = set()
        found = [Source(path, Path(argument)) for path in _walk(Path(argument), skip, others)]
        if not found:
            instead = f" that mio reads, but {_kinds(others)}" if others else ""
            raise UsageError(f"'{argument}' holds no photos{instead}", hint=f"mio reads {READABLE}")
        unread |= others
        return found
    if glob.has_magic(argument):
        found = list(_expand(argument, skip, unread))
        if not found:
            raise UsageError(f"no photo matches '{argument}'", hint="check the pattern and the folder")
        return found
    return [Source(_path(argument))]


def _path(word: str | Path) -> Path:
    """The path that a word of the command line names. Of "./-", a file, it would leave no more than "-"."""
    path = Path(word)
    return path.absolute() if path == STREAM and str(word) != "-" else path


def _kinds(paths: Iterable[str]) -> str:
    """``3 .cr2, 1 .gif``."""
    suffixes = Counter(sorted(Path(path).suffix.lower() for path in paths))
    return ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common())


def _walk(folder: Path, skip: Path | None, unread: set[str]) -> list[Path]:
    """Photos below ``folder``, and subfolders that cannot be listed: reading them tells the user.

    Photos of other formats are added to ``unread``.
    """
    skip = _below(folder, skip)
    photos: list[Path] = []
    unreadable: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=lambda e: unreadable.append(Path(e.filename))):
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", _ARCHIVE_LEFTOVERS)) and not _is_inside(Path(parent, name), skip)
        ]
        photos += [Path(parent, name) for name in files if _is_wanted(name)]
        others = (Path(parent, name) for name in files if not name.startswith("."))
        unread.update(os.path.realpath(path) for path in others if path.suffix.lower() in UNREAD)
    return sorted(photos + unreadable, key=natural_key)


def _is_wanted(name: str) -> bool:
    path = Path(name)
    return not name.startswith(".") and format_of_suffix(path.suffix) is not None and not _is_ours(path)


def _is_ours(path: Path) -> bool:
    return path.stem.endswith((_MARK, _COMPARISON))


def _earlier_results(named: Mapping[str, Source]) -> list[str]:
    """The keys of outputs of ours named with their photo, and of before/after pictures named with any."""
    photos = [source.path for source in named.values() if not _is_ours(source.path)]
    made_from = {*photos, *(path.with_suffix("") for path in photos)}

    def is_earlier(path: Path) -> bool:
        sheet = path.stem.endswith(_COMPARISON) and bool(photos)
        return sheet or (_is_ours(path) and path.with_suffix("").with_suffix("") in made_from)

    return [key for key, source in named.items() if is_earlier(source.path)]


def _expand(pattern: str, skip: Path | None, unread: set[str]) -> Iterator[Source]:
    """Photos that match, and photos in folders that match."""
    steady = Path(*_steady_parts(Path(pattern)))
    skip = _below(steady, skip)
    for match in sorted(map(Path, glob.glob(pattern, recursive=True)), key=natural_key):
        if _is_inside(match, skip) or _ARCHIVE_LEFTOVERS in match.relative_to(steady).parts:
            continue
        if match.is_dir():
            if "**" not in pattern:
                yield from (Source(path, steady) for path in _walk(match, skip, unread))
        elif _is_wanted(match.name) or (_MARK in pattern and format_of_suffix(match.suffix)):
            yield Source(match, steady)


def _steady_parts(pattern: Path) -> Iterator[str]:
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _below(searched: Path, skip: Path | None) -> Path | None:
    """``skip`` if it lies below the folder that is searched. One that holds it would hide all its photos."""
    return skip if skip is not None and _is_inside(skip, searched) and not _same(skip, searched) else None


def _is_inside(path: Path, folder: Path | None) -> bool:
    if folder is None:
        return False
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _unambiguous(sources: list[Source]) -> list[Source]:
    """The sources, with the folder above them all as their root where names alone could collide.

    ``2023/1.jpg`` and ``2024/1.jpg`` both find a place in one output folder, whether named one by one or
    by their folders.
    """
    searched = {source.root for source in sources if source.root is not None}
    named = [source.path for source in sources if source.root is None and not source.is_stream]
    shared_root = _common_folder(searched) if len(searched) > 1 else None
    names_collide = len({path.name for path in named}) < len(named)
    shared_parent = _common_folder({path.parent for path in named}) if names_collide else None
    return [
        source
        if source.is_stream
        else replace(source, root=shared_parent if source.root is None else shared_root or source.root)
        for source in sources
    ]


def _common_folder(folders: set[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))
    except ValueError:  # different drives
        return None


def _names_folder(source: Source, output: str | Path) -> bool:
    """Whether ``output`` is a folder: it is one, says so, or a searched folder goes to no photo's name."""
    return _is_folder(output) or (source.root is not None and format_of_suffix(Path(output).suffix) is None)


def _is_folder(output: str | Path) -> bool:
    return str(output).endswith(("/", os.sep)) or os.path.isdir(output)


def _folder(source: Source) -> Path:
    """The folder of the photo, from the root on."""
    if source.root is None:
        return Path()
    folder = Path(os.path.relpath(os.path.abspath(source.path.parent), os.path.abspath(source.root)))
    return Path() if ".." in folder.parts else folder  # a pattern with .. must not lead out of the output


def _name_parts(source: Source) -> tuple[str, str]:
    """Name and suffix of the photo. Where a suffix says no format (``photo.jpg!large``), the bytes do."""
    if format_of_suffix(source.path.suffix):
        return source.path.stem, source.path.suffix
    try:
        known = FORMATS.get(sniff(_head(source)) or "")
    except (OSError, ValueError):
        known = None  # reading the photo will tell the user
    return "stdin" if source.is_stream else source.path.name, known.suffixes[0] if known else ".png"


def _head(source: Source) -> bytes:
    """The first bytes of a photo; those of standard input can still be read."""
    if source.is_stream:
        return cast(BufferedReader, sys.stdin.buffer).peek(_HEAD)[:_HEAD]
    with source.path.open("rb") as file:
        return file.read(_HEAD)


def _file(path: Path) -> str:
    """The file that a path leads to, by one name: on Windows those that differ in case are one."""
    return os.path.normcase(os.path.realpath(path))


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
