"""What the command line names becomes photos, and each photo a place of its own for its output."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mio_cli.core.errors import UsageError
from mio_cli.io import Source, find_photos, output_path, output_paths
from mio_cli.io.sources import comparison_paths


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A messy folder, and the working directory."""
    for name in (
        "album/img10.jpg",
        "album/img2.JPG",
        "album/img2.restored.jpg",
        "album/Thumbs.db",
        "album/.hidden.jpg",
        "album/._img2.jpg",
        "album/notes.txt",
        "album/clip.mp4",
        "album/2023/a.png",
        "album/2023/deep/b.tiff",
        "album/2024/a.heic",
        "album/.cache/x.jpg",
        "album/__MACOSX/x.jpg",
        "other/a.png",
        "[1].jpg",
        "1.jpg",
        "empty/readme.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(sources: list[Source]) -> list[str]:
    return [str(source.path) for source in sources]


def test_photos_that_cannot_be_read_are_counted(album: Path) -> None:
    notes: list[str] = []
    find_photos(["album"], note=notes.append)
    assert notes == []
    for name in ("a.CR2", "b.cr2", "2023/c.cr2", "d.gif", "._a.cr2", ".trash/e.nef", "f.MPO", "g.tga"):
        (album / "album" / name).parent.mkdir(exist_ok=True)
        (album / "album" / name).touch()
    assert len(find_photos(["album", "alb*", "1.jpg"], note=notes.append)) == 6
    assert notes[:1] == ["passed over photos that mio does not read: 3 .cr2, 1 .gif, 1 .mpo, 1 .tga"]


def test_folder_is_searched_in_natural_order(album: Path) -> None:
    found = find_photos(["album"])
    assert names(found) == [
        "album/2023/a.png",
        "album/2023/deep/b.tiff",
        "album/2024/a.heic",
        "album/img2.JPG",
        "album/img10.jpg",
    ]
    assert {source.root for source in found} == {Path("album")}


def test_links_to_folders_do_not_loop(album: Path) -> None:
    (album / "album" / "loop").symlink_to(album / "album", target_is_directory=True)
    assert len(find_photos(["album"])) == 5


def test_files_are_taken_as_named(album: Path) -> None:
    asked = ["album/notes.txt", "album/img2.restored.jpg", "album/.hidden.jpg", "missing.jpg", "-"]
    found = find_photos(asked)
    assert names(found) == asked
    assert [source.is_stream for source in found] == [False] * 4 + [True]


def test_each_photo_once(album: Path) -> None:
    (album / "link.jpg").symlink_to(album / "1.jpg")
    asked = ["1.jpg", "./1.jpg", str(album / "1.jpg"), "link.jpg", "album/img2.JPG", "album", "album/*.JPG"]
    notes: list[str] = []
    assert len(find_photos(asked, note=notes.append)) == 6
    assert notes == ["named more than once, taken once: 2 photos"]


def test_results_that_the_shell_names_beside_their_photos_are_passed_over(album: Path) -> None:
    folder = album / "again"
    folder.mkdir()
    results = ["a.restored.jpg", "a.compare.jpg", "b.jpg.compare.jpg"]
    results += ["other.compare.jpg", "alone.restored.jpg"]  # of other.png, which *.jpg does not name
    for name in ("a.jpg", "b.jpg", *results):
        (folder / name).touch()
    notes: list[str] = []
    found = find_photos([f"again/{name}" for name in ("a.jpg", "b.jpg", *results)], note=notes.append)
    assert names(found) == ["again/a.jpg", "again/b.jpg", "again/alone.restored.jpg"]
    assert notes == ["passed over results of earlier runs: 4"]
    for alone in ("again/a.restored.jpg", "again/other.compare.jpg"):
        assert names(find_photos([alone])) == [alone]


def test_patterns_the_shell_left_alone(album: Path) -> None:
    assert names(find_photos(["album/*.jpg"])) == ["album/img10.jpg"]
    assert names(find_photos(["album/*"]))[-2:] == ["album/img2.JPG", "album/img10.jpg"]
    assert names(find_photos(["album/**/a.*"])) == ["album/2023/a.png", "album/2024/a.heic"]
    assert {source.root for source in find_photos(["album/*/*"])} == {Path("album")}
    assert names(find_photos(["album/*.restored.jpg"])) == ["album/img2.restored.jpg"]
    assert names(find_photos(["[1].jpg"])) == ["[1].jpg"]  # a file has that name
    os.remove("[1].jpg")
    assert names(find_photos(["[1].jpg"])) == ["1.jpg"]


def test_nothing_found_is_said(album: Path) -> None:
    with pytest.raises(UsageError, match="'empty' holds no photos; mio reads JPEG"):
        find_photos(["empty"])
    (album / "empty" / "a.CR2").touch()
    with pytest.raises(UsageError, match=r"'empty' holds no photos that mio reads, but 1 \.cr2; mio reads"):
        find_photos(["empty"])
    with pytest.raises(UsageError, match="name is empty"):
        find_photos([""])
    with pytest.raises(UsageError, match=r"no photo matches 'album/\*\.webp'"):
        find_photos(["album/*.webp"])


def test_output_folder_is_not_searched(album: Path) -> None:
    for asked in ("album", "album/*", "album/**/*"):
        assert names(find_photos([asked], skip=Path("album/2023"))) == [
            "album/2024/a.heic",
            "album/img2.JPG",
            "album/img10.jpg",
        ]


def test_an_output_folder_above_hides_nothing(album: Path) -> None:
    for asked in ("album", "album/2023", "album/*/*"):
        for above in (".", "..", "album"):
            assert names(find_photos([asked], skip=Path(above))) == names(find_photos([asked]))


def test_an_output_folder_that_the_shell_names_too_is_not_searched(album: Path) -> None:
    assert names(find_photos(["1.jpg", "album", "other"], skip=Path("other"))) == names(
        find_photos(["1.jpg", "album"])
    )


@pytest.mark.parametrize(
    ("source", "output", "options", "expected"),
    [
        ("album/img2.JPG", None, {}, "album/img2.restored.JPG"),
        ("album/img2.JPG", "x.png", {}, "x.png"),
        ("album/img2.JPG", "album/img2.png", {}, "album/img2.png"),
        ("album/img2.JPG", "new/", {}, "new/img2.JPG"),
        ("album/img2.JPG", "new", {"several": True}, "new/img2.JPG"),
        ("album/img2.JPG", "other", {}, "other/img2.JPG"),
        ("album/img2.JPG", "-", {}, "-"),
        ("-", None, {}, "-"),
        ("-", "x.png", {}, "x.png"),
        ("missing.xyz", None, {}, "missing.xyz.restored.png"),
    ],
)
def test_output_of_one_photo(
    album: Path, source: str, output: str | None, options: dict, expected: str
) -> None:
    assert output_path(Source(Path(source)), output, **options) == Path(expected)
    if output is not None and not output.endswith("/"):
        assert output_path(Source(Path(source)), Path(output), **options) == Path(expected)


def test_several_photos_do_not_go_into_one_file(album: Path) -> None:
    """Nor into a folder that is called like a photo, unless it is there or meant."""
    with pytest.raises(UsageError, match=r"5 photos .* one file, 'all\.jpg'; .*/"):
        output_paths(find_photos(["album"]), "all.jpg")
    (album / "2024.jpg").mkdir()
    for folder in ("all.jpg/", "2024.jpg", "all", "v1.2"):
        assert output_paths(find_photos(["album"]), folder)[-1] == Path(folder, "img10.jpg")


def test_suffix_of_photos_without_one_comes_from_their_bytes(album: Path, photo: np.ndarray) -> None:
    for name, file_format in (("v1.2 final", "TIFF"), ("x.jpg!large", "WEBP")):
        Image.fromarray(photo).save(name, file_format)
    targets = output_paths([Source(Path("v1.2 final")), Source(Path("x.jpg!large"))], None)
    assert [str(path) for path in targets] == ["v1.2 final.restored.tif", "x.jpg!large.restored.webp"]


def test_output_folder_mirrors_the_input(album: Path) -> None:
    sources = find_photos(["album"])
    assert [str(path) for path in output_paths(sources, "out")] == [
        "out/2023/a.png",
        "out/2023/deep/b.tiff",
        "out/2024/a.heic",
        "out/img2.JPG",
        "out/img10.jpg",
    ]
    absolute = find_photos([str(album / "album")])
    assert output_paths(absolute, "out") == output_paths(sources, "out")


def test_several_folders_are_mirrored_from_the_one_above(album: Path) -> None:
    folders = output_paths(find_photos(["album/2023", "other"]), "out")
    assert {str(path) for path in folders} == {
        "out/album/2023/a.png",
        "out/album/2023/deep/b.tiff",
        "out/other/a.png",
    }
    files = output_paths(find_photos(["album/2023/a.png", "other/a.png"]), "out")
    assert [str(path) for path in files] == ["out/album/2023/a.png", "out/other/a.png"]
    plain = output_paths(find_photos(["album/2023/a.png", "1.jpg", str(album / "1.jpg")]), "out")
    assert [str(path) for path in plain] == ["out/a.png", "out/1.jpg"]


def test_a_photo_is_never_its_own_output(album: Path) -> None:
    (album / "link.jpg").symlink_to("1.jpg")
    for output in ("1.jpg", "./1.jpg", ".", str(album / "1.jpg"), "link.jpg"):
        with pytest.raises(UsageError, match=r"1\.jpg' is the photo itself|link\.jpg' is the photo itself"):
            output_path(Source(Path("1.jpg")), output)
    with pytest.raises(UsageError, match="is the photo itself"):
        output_paths(find_photos(["album"]), "album")


def test_outputs_never_collide(album: Path) -> None:
    same_name = [Source(Path("album/2023/a.png")), Source(Path("other/a.png"))]
    with pytest.raises(UsageError, match=r"'album/2023/a.png' and 'other/a.png' would both be written to"):
        output_paths(same_name, "out")
    with pytest.raises(UsageError, match="is one of the photos to restore"):
        output_paths([Source(Path("x/1.jpg")), Source(Path("y/x/1.jpg"), Path("y"))], "")


def test_before_and_after_pictures_collide_with_nothing(album: Path) -> None:
    photos = [Source(Path("1.png")), Source(Path("1.jpg"))]
    targets = output_paths(photos, None, compare=True)
    assert list(map(str, comparison_paths(targets))) == ["1.png.compare.jpg", "1.jpg.compare.jpg"]
    assert list(map(str, comparison_paths(targets[:1]))) == ["1.compare.jpg"]
    earlier = Source(Path("1.compare.jpg"))
    for sources, output in (([earlier], "1.png"), ([Source(Path("1.png")), earlier], None)):
        with pytest.raises(UsageError, match=r"'1\.compare\.jpg' is one of the photos to restore"):
            output_paths(sources, output, compare=True)


def test_unwritable_suffix_is_found_before_any_work(album: Path) -> None:
    with pytest.raises(UsageError, match=r"ending in '\.gif'"):
        output_path(Source(Path("1.jpg")), "x.gif")


def test_a_pipe_is_no_output(album: Path) -> None:
    os.mkfifo("pipe.png")
    with pytest.raises(UsageError, match=r"pipe\.png.*device or a pipe"):
        output_path(Source(Path("1.jpg")), "pipe.png")


def test_a_pattern_leads_not_out_of_the_output_folder(album: Path) -> None:
    sources = find_photos(["album/*/../../other/*.png"])
    assert output_paths(sources, "out/deep/") == [Path("out/deep/a.png")]
