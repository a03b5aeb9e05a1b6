"""Whatever a file holds: a photo, or one plain error that names it. Never a part of a photo, never a hang."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as skimage_data

from mio_cli.core.errors import PhotoError
from mio_cli.io import encode_picture, read_picture

MAGIC = {
    "JPEG": b"\xff\xd8\xff\xe0",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "TIFF": b"II*\0\x08\0\0\0",
    "BigTIFF": b"II+\0\x08\0\0\0",
    "WEBP": b"RIFF\x40\0\0\0WEBPVP8 ",
    "AVIF": b"\0\0\0\x1cftypavif",
    "HEIC": b"\0\0\0\x18ftypheic",
    "BMP": b"BM",
    "GIF": b"GIF89a",
    "none": b"",
}


def whole_files() -> dict[str, bytes]:
    """Sound files of each format and each way to decode it."""
    photo = np.ascontiguousarray(skimage_data.coffee()[100:316:3, 150:462:3])
    image = Image.fromarray(photo)
    files = {}
    for name, file_format, options in (
        ("JPEG", "JPEG", {}),
        ("progressive JPEG", "JPEG", {"progressive": True}),
        ("PNG", "PNG", {}),
        ("TIFF", "TIFF", {}),
        ("LZW TIFF", "TIFF", {"compression": "tiff_lzw"}),
        ("fax TIFF", "TIFF", {"compression": "group4"}),
        ("WEBP", "WEBP", {}),
        ("lossless WEBP", "WEBP", {"lossless": True}),
        ("AVIF", "AVIF", {}),
        ("BMP", "BMP", {}),
    ):
        buffer = BytesIO()
        (image.convert("1") if "fax" in name else image).save(buffer, file_format, **options)
        files[name] = buffer.getvalue()
    for name, compression in (("16-bit TIFF", None), ("16-bit zipped TIFF", "zlib")):
        buffer = BytesIO()
        tifffile.imwrite(buffer, photo.astype(np.uint16) * 257, photometric="rgb", compression=compression)
        files[name] = buffer.getvalue()
    _, deep_avif = cv2.imencode(".avif", photo.astype(np.uint16) * 4, [cv2.IMWRITE_AVIF_DEPTH, 10])
    files["10-bit AVIF"] = deep_avif.tobytes()
    if find_spec("pillow_heif"):
        files["HEIC"] = encode_picture(read_picture(files["PNG"]), "HEIF")
        files["10-bit HEIC"] = encode_picture(read_picture(files["16-bit TIFF"]), "HEIF")
    files["16-bit PNG"] = encode_picture(read_picture(buffer.getvalue()), "PNG")
    files["our TIFF"] = encode_picture(read_picture(buffer.getvalue()), "TIFF")
    return files


WHOLE = whole_files()


@pytest.mark.parametrize("name", WHOLE)
def test_part_of_a_file_is_an_error(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = WHOLE[name]
    assert read_picture(data).width == 104
    for length in [*(len(data) * percent // 100 for percent in range(0, 100, 5)), len(data) - 40]:
        with pytest.raises(PhotoError, match=r"^holiday/3\.x: "):
            read_picture(data[:length], name="holiday/3.x")
    for length in range(len(data) - 39, len(data)):  # a decoder may have all it needs by now
        with suppress(PhotoError):
            read_picture(data[:length])
    assert capfd.readouterr().err == ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(file_format=st.sampled_from(sorted(MAGIC)), noise=st.binary(max_size=300))
def test_noise_is_an_error(file_format: str, noise: bytes) -> None:
    with pytest.raises(PhotoError):
        read_picture(MAGIC[file_format] + noise, max_pixels=10**6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(sorted(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_bytes_are_a_photo_or_an_error(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE[name])
    for position, value in changes:
        data[position] = value
    try:
        picture = read_picture(bytes(data), max_pixels=10**6)
    except PhotoError:
        return
    assert np.isfinite(picture.rgb).all()
    assert 0 <= picture.rgb.min() <= picture.rgb.max() <= 1


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = MAGIC["PNG"] + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 9) + b"IDAT" + zlib.compress(b"")


def test_absurd_sizes_are_refused_before_memory_is_taken() -> None:
    jpeg, bmp, tiff = (bytearray(WHOLE[name]) for name in ("JPEG", "BMP", "16-bit TIFF"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, 65_500)
    bmp[18:26] = struct.pack("<ii", 2**30, 2**30)
    for tag in (256, 257):
        entry = max(tiff.find(struct.pack("<HHI", tag, kind, 1)) for kind in (3, 4))
        tiff[entry : entry + 12] = struct.pack("<HHII", tag, 4, 1, 2**31)
    webp = WHOLE["lossless WEBP"].replace(WHOLE["lossless WEBP"][21:25], b"\xff\xff\xff\x0f", 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in (png_header(2**31 - 1, 2**31 - 1), png_header(65_000, 65_000), jpeg, bmp, tiff, webp):
        with pytest.raises(
            PhotoError, match=r"pixels are more than the limit of 178,956,970; .*--max-pixels \d+"
        ):
            read_picture(bytes(data))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_a_strip_that_inflates_without_end_is_refused() -> None:
    bomb = zlib.compressobj()
    strip = b"".join(bomb.compress(bytes(2**20)) for _ in range(300)) + bomb.flush()
    tiff = bytearray(WHOLE["16-bit zipped TIFF"])
    for tag, value in ((273, len(tiff)), (279, len(strip))):
        entry = max(tiff.find(struct.pack("<HHI", tag, kind, 1)) for kind in (3, 4))
        tiff[entry : entry + 12] = struct.pack("<HHII", tag, 4, 1, value)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PhotoError, match="longer than its pixels"):
        read_picture(bytes(tiff + strip))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_pixel_limit_holds_for_tiles(kind: type) -> None:
    files = {}
    for side in (512, 2048):
        tifffile.imwrite(file := BytesIO(), np.zeros((64, 64), kind), tile=(side, side), compression="zlib")
        files[side] = file.getvalue()
    with pytest.raises(PhotoError, match=r"tiles of 2048×2048 pixels are more than the limit of 1,000,000"):
        read_picture(files[2048], max_pixels=10**6)
    assert read_picture(files[512], max_pixels=10**6).height == 64


def test_pixel_limit_is_the_callers() -> None:
    with pytest.raises(PhotoError, match=r"104×72 .* limit of 7,487; .*--max-pixels 7488"):
        read_picture(WHOLE["JPEG"], max_pixels=7487)
    assert read_picture(WHOLE["JPEG"], max_pixels=7488).height == 72


def test_pillows_own_limit_and_warnings_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    filters = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(read_picture, list(WHOLE.values()) * 4))
    assert len(pictures) == 4 * len(WHOLE)
    assert Image.MAX_IMAGE_PIXELS == 50
    assert warnings.filters == filters


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF"])
def test_animations_and_documents_are_refused(photo: np.ndarray, file_format: str) -> None:
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    buffer = BytesIO()
    frames = [Image.fromarray(np.roll(photo, shift, axis=1)) for shift in (0, 20, 40)]
    frames[0].save(buffer, file_format, save_all=True, append_images=frames[1:])
    with pytest.raises(PhotoError, match="holiday: has 3 frames; mio restores single photos"):
        read_picture(buffer.getvalue(), name="holiday")


def test_a_stereo_pair_is_refused(photo: np.ndarray) -> None:
    buffer = BytesIO()
    Image.fromarray(photo).save(buffer, "MPO", save_all=True, append_images=[Image.fromarray(photo[:, ::-1])])
    data = bytearray(buffer.getvalue())
    entry = data.index(struct.pack("<L", 0x030000), data.index(b"0100"))
    for position in (entry, entry + 16):
        data[position : position + 4] = struct.pack("<L", 0x020002)  # as cameras with two lenses mark both
    with pytest.raises(PhotoError, match="holiday: has 2 frames; mio restores single photos"):
        read_picture(bytes(data), name="holiday")


def test_reduced_copies_in_a_tiff_are_no_frames(deep_photo: np.ndarray) -> None:
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(deep_photo, photometric="rgb")
        file.write(deep_photo[::2, ::2], photometric="rgb", subfiletype=1)
    assert np.array_equal(read_picture(buffer.getvalue()).rgb, deep_photo / np.float32(65535))


def test_camera_raw_is_refused(photo: np.ndarray) -> None:
    dng = BytesIO()
    tifffile.imwrite(dng, photo, photometric="rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), True)])
    nef = BytesIO()
    tifffile.imwrite(nef, photo, photometric="rgb", subfiletype=1)
    others = [start + bytes(100) for start in (b"FUJIFILMCCD-RAW 0201", b"IIRO\x08", b"\0\0\0\x18ftypcrx ")]
    for data in (dng.getvalue(), nef.getvalue(), *others):
        with pytest.raises(PhotoError, match="camera raw file; develop it"):
            read_picture(data)


@pytest.mark.parametrize(
    ("dtype", "shape", "options"),
    [
        (np.float32, (8, 8), {}),
        (np.float32, (8, 8, 3), {"photometric": "rgb"}),
        (np.int16, (8, 8), {}),
        (np.uint32, (8, 8), {}),
        (np.uint16, (8, 8, 3), {"photometric": "icclab"}),
        (np.uint8, (8, 8, 3), {"photometric": "icclab"}),
        (np.uint16, (8, 8, 3), {"photometric": "ycbcr"}),
    ],
    ids=["float", "float RGB", "signed", "32-bit", "16-bit ICCLab", "8-bit ICCLab", "16-bit YCbCr"],
)
def test_numbers_that_are_no_photo(dtype: type, shape: tuple[int, ...], options: dict) -> None:
    buffer = BytesIO()
    tifffile.imwrite(buffer, np.ones(shape, dtype), **options)
    with pytest.raises(PhotoError, match=r"^x\.tif: .*convert it to 8- or 16-bit RGB$"):
        read_picture(buffer.getvalue(), name="x.tif")


@pytest.fixture
def lzw_tiff(deep_photo: np.ndarray) -> bytearray:
    """16 bits a channel, compressed by LZW: the one kind of TIFF that OpenCV has to decode."""
    done, data = cv2.imencode(".tif", deep_photo[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    assert done
    return bytearray(data.tobytes())


def test_damage_inside_an_lzw_tiff_is_told_by_us_alone(
    lzw_tiff: bytearray, capfd: pytest.CaptureFixture[str]
) -> None:
    middle = len(lzw_tiff) // 2
    lzw_tiff[middle : middle + 200] = b"\xff" * 200
    with pytest.raises(PhotoError, match="damaged or incomplete TIFF"):
        read_picture(bytes(lzw_tiff))
    assert capfd.readouterr().err == ""


def test_lzw_in_fewer_strips_than_its_layout_needs_is_refused_rather_than_scrambled(
    lzw_tiff: bytearray,
) -> None:
    planar_configuration = struct.pack("<HHI", 284, 3, 1)
    lzw_tiff[lzw_tiff.index(planar_configuration) + 8] = 2
    with pytest.raises(PhotoError, match="strips are missing"):
        read_picture(bytes(lzw_tiff))


def test_files_that_are_no_photos(tmp_path: Path, photo: np.ndarray) -> None:
    (tmp_path / "text.jpg").write_text("Dear diary,\n" * 50)
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "film.jpg").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    Image.fromarray(photo).save(tmp_path / "one.gif")
    (tmp_path / "link.jpg").symlink_to("gone.jpg")
    for name, message in {
        "text.jpg": "is not a photo that mio can read; mio reads JPEG",
        "empty.png": "is empty",
        "folder.jpg": "is a folder",
        "pipe.jpg": "is a device or pipe",
        "film.jpg": "is not a photo",
        "one.gif": "is a GIF; convert it",
        "missing.jpg": "no such file",
        "link.jpg": "is a link to 'gone.jpg', which is not there",
        "text.jpg/x.jpg": "cannot be read",
        "bad\0name.jpg": "no file has such a name",
        "n" * 300 + ".jpg": "cannot be read",
    }.items():
        with pytest.raises(PhotoError) as caught:
            read_picture(tmp_path / name)
        assert message in str(caught.value)
        assert repr(str(tmp_path / name))[1:-1] in str(caught.value)


def test_name_of_bytes_without_a_name() -> None:
    with pytest.raises(PhotoError, match=r"^standard input: is empty"):
        read_picture(b"")


def test_heic_without_its_package_tells_what_to_install() -> None:
    code = """
import sys
sys.modules["pillow_heif"] = None  # as if it were not installed
from io import BytesIO
import numpy as np
from mio_cli.core.picture import Picture
from mio_cli.io import encode_picture, read_picture
heic = b"\\0\\0\\0\\x18ftypheic\\0\\0\\0\\0mif1heic" + bytes(100)
picture = Picture(np.zeros((8, 8, 3), np.float32))
for work in (lambda: read_picture(heic), lambda: encode_picture(picture, "HEIF")):
    try:
        work()
    except Exception as error:
        print(type(error).__name__, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ['PhotoError pip install "mio-cli[heif]"'] * 2


def test_reading_photos_needs_no_torch() -> None:
    code = "import sys, mio_cli.io; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
