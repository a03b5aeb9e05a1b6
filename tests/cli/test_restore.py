"""``mio restore`` as a photographer meets it: real photos, real processes, nothing lost."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageEnhance
from skimage.metrics import peak_signal_noise_ratio

from mio_cli.arch.camera_blur import disc, line
from mio_cli.hub.registry import registered
from tests.conftest import Mio, load, save


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_auto_finds_the_noise_and_removes_it(
    mio: Mio, clean: np.ndarray, noisy: np.ndarray, tmp_path: Path
) -> None:
    photo = save(noisy, tmp_path / "photo.png")
    before = photo.read_bytes()
    done = mio("restore", photo, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["tasks"] == {"noise": 1.0}
    assert record["probabilities"]["noise"] > 0.6
    assert sum(record["probabilities"].values()) == pytest.approx(1, abs=0.01)
    restored = load(tmp_path / "photo.restored.png")
    gain = peak_signal_noise_ratio(clean, restored) - peak_signal_noise_ratio(clean, noisy)
    assert gain > 5
    assert photo.read_bytes() == before
    assert files(tmp_path) == ["photo.png", "photo.restored.png"]


def test_auto_sees_that_a_noisy_photo_is_dark(mio: Mio, clean: np.ndarray, tmp_path: Path) -> None:
    """As photos taken in the evening are."""
    noise = np.random.default_rng(1).normal(0, 20, clean.shape)
    dark = 255 * (clean / 255) ** 2.5
    photo = save(np.clip((dark + noise).round(), 0, 255).astype(np.uint8), tmp_path / "evening.png")
    done = json.loads(mio("restore", photo, "--json").stdout)
    assert [each["tasks"] for each in done["passes"]] == [{"noise": 1.0}, {"lowlight": 1.0}]
    restored = load(tmp_path / "evening.restored.png")
    assert abs(float(restored.mean()) - clean.mean()) < 20 < clean.mean() - load(photo).mean()


def test_pictures_that_were_edited_are_not_brightened(mio: Mio, clean: np.ndarray, tmp_path: Path) -> None:
    photo = Image.fromarray(clean)
    edited = {
        "contrast": ImageEnhance.Contrast(photo).enhance(1.2),
        "brighter": ImageEnhance.Brightness(photo).enhance(1.4),
        "palette": photo.quantize(256),
        "bilevel": photo.convert("1"),
        "black": Image.new("RGB", photo.size),
    }
    for name, picture in edited.items():
        picture.save(tmp_path / f"{name}.png")
    done = mio("restore", tmp_path, "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    for name, picture in edited.items():
        changed = load(tmp_path / "out" / f"{name}.png").mean() - np.asarray(picture.convert("RGB")).mean()
        assert abs(changed) < 1, name


def test_the_task_and_the_mode_matter(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    photo = save(noisy, tmp_path / "photo.png")
    results = []
    for words in (["--task", "denoise"], ["--task", "N"], ["--task", "dehaze"], ["--adaptive"]):
        target = tmp_path / ("-".join(words) + ".png")
        assert mio("restore", photo, *words, "-o", target).returncode == 0
        results.append(load(target))
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    assert not np.array_equal(results[0], results[3])


def test_a_clean_photo_is_copied_byte_for_byte(mio: Mio, clean: np.ndarray, tmp_path: Path) -> None:
    photo = save(clean, tmp_path / "a.png")
    done = json.loads(mio("restore", photo, "--json").stdout)
    assert (done["status"], done["mode"]) == ("copied", "none")
    assert (tmp_path / "a.restored.png").read_bytes() == photo.read_bytes()


def test_a_folder_is_mirrored_and_failures_do_not_stop_it(
    mio: Mio, noisy: np.ndarray, tmp_path: Path
) -> None:
    album = tmp_path / "album"
    small = noisy[:64, :80]
    for name in ("one.jpg", "trip/two.png", "trip/day 2/three.webp"):
        save(small, album / name)
    (album / "trip/text.jpg").write_text("not a photo")
    whole = save(noisy, tmp_path / "whole.jpg").read_bytes()
    (album / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (album / "empty.png").touch()
    (album / "notes.txt").write_text("no photo at all")
    done = mio("restore", album, "-o", tmp_path / "out", "--task", "noise")
    assert done.returncode == 3
    assert files(tmp_path / "out") == ["one.jpg", "trip/day 2/three.webp", "trip/two.png"]
    for name in ("text.jpg", "cut.jpg", "empty.png"):
        [line] = [line for line in done.stderr.splitlines() if name in line]
        assert "→" in line, "an error names a remedy"
    assert "3 of 6" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.jpg"], 1, ["missing.jpg", "no such file"]),
        (["empty.jpg"], 1, ["empty.jpg"]),
        (["text.jpg"], 1, ["text.jpg"]),
        (["nothing"], 2, ["nothing", "no photos"]),
        (["*.xyz"], 2, ["*.xyz"]),
        (["photo.png", "--task", "magic"], 2, ["magic", "lowlight"]),
        (["photo.png", "--task", "rain", "--adaptive"], 2, ["--adaptive"]),
        (["photo.png", "--task", "noise", "--scale", "4"], 2, ["--task sr"]),
        (["photo.png", "--task", "sr", "--scale", "5"], 2, ["--scale 2, 3 or 4"]),
        (["photo.png", "--task", "noise,jpeg", "--passes", "2"], 2, ["--passes 2", "--task auto"]),
        (["photo.png", "-o", "photo.png"], 2, ["photo.png"]),
        (["photo.png", "-o", "x" * 300 + ".png", "--skip-existing"], 1, ["xxx.png", "too long"]),
        (["photo.png", "--model", "nobody"], 2, ["nobody", "mio-small"]),
        (["photo.png", "--model", "mio-classifier"], 2, ["is a classifier", "mio classify"]),
        (["photo.png", "--task", "denoize"], 2, ["denoize", "did you mean denoise?"]),
        (["photo.png", "--task", "auto,noise"], 2, ["auto,noise", "auto alone"]),
        (["photo.png", "--max-pixels", "100"], 1, ["photo.png", "--max-pixels"]),
        (["photo.png", "-o", "locked/out.png"], 1, ["locked"]),
    ],
)  # fmt: skip
def test_bad_input_is_one_plain_line(
    mio: Mio, noisy: np.ndarray, tmp_path: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    save(noisy[:32, :32], tmp_path / "photo.png")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "nothing").mkdir()
    # A file where a folder is needed cannot be written to even by root, for whom no folder is read-only.
    (tmp_path / "locked").write_text("")
    before = files(tmp_path)
    done = mio("restore", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.strip()]
    assert line.startswith("error:")
    assert all(word in line for word in words), line
    assert files(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_an_error_and_left_alone(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    photo = save(noisy[:32, :32], tmp_path / "photo.png")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    done = mio("restore", photo, "--task", "noise", "-o", locked)
    assert done.returncode == 1
    assert "locked" in done.stderr
    assert files(locked) == []


@pytest.mark.parametrize("damage", ["truncated", "changed", "garbage"])
def test_damaged_weights_are_refused(mio: Mio, noisy: np.ndarray, tmp_path: Path, damage: str) -> None:
    photo = save(noisy[:32, :32], tmp_path / "photo.png")
    folder = tmp_path / "model"
    folder.mkdir()
    embedded = registered()["mio-small"].folder
    weights = (embedded / "model.safetensors").read_bytes()
    (folder / "config.json").write_bytes((embedded / "config.json").read_bytes())
    damaged = {
        "truncated": weights[:-1000],
        "changed": b"\xff" * 64 + weights[64:],
        "garbage": b"no weights",
    }[damage]
    (folder / "model.safetensors").write_bytes(damaged)
    done = mio("restore", photo, "--task", "noise", "--model", folder)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.strip()]
    assert "model.safetensors" in line
    assert "damaged" in line


def test_tiny_photos_restore(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    save(noisy[:1, :1], tmp_path / "in" / "one.png")
    save(noisy[:5, :7], tmp_path / "in" / "seven.png")
    for words in ([], ["--task", "haze"], ["--adaptive"]):
        done = mio("restore", tmp_path / "in", "-o", tmp_path / "out", *words)
        assert done.returncode == 0, done.stderr
        assert load(tmp_path / "out" / "one.png").shape == (1, 1, 3)
        assert load(tmp_path / "out" / "seven.png").shape == (5, 7, 3)


@pytest.mark.parametrize("scale", [2, 4])
def test_super_resolution_enlarges_and_beats_bicubic(
    mio: Mio, clean: np.ndarray, tmp_path: Path, scale: int
) -> None:
    height, width = clean.shape[:2]
    reduced = Image.fromarray(clean).resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    photo = save(np.asarray(reduced), tmp_path / "small.png")
    done = mio("restore", photo, "--task", "sr", "--scale", scale, "-o", tmp_path / "large.png")
    assert done.returncode == 0, done.stderr
    enlarged = load(tmp_path / "large.png")
    assert enlarged.shape == clean.shape
    bicubic = np.asarray(reduced.resize((width, height), Image.Resampling.BICUBIC))
    if scale == 4:
        assert peak_signal_noise_ratio(clean, enlarged) > peak_signal_noise_ratio(clean, bicubic) + 0.2


def test_transparency_grows_with_the_photo(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    alpha = np.zeros(noisy.shape[:2], np.uint8)
    alpha[:, : noisy.shape[1] // 2] = 255
    photo = save(np.dstack([noisy, alpha])[:64, 160:240], tmp_path / "a.png")
    done = mio("restore", photo, "--task", "sr", "--scale", 2, "-o", tmp_path / "b.png")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode == "RGBA"
        assert image.size == (160, 128)
        left, right = np.asarray(image)[:, :50, 3], np.asarray(image)[:, 80:, 3]
    assert left.min() == 255
    assert right.max() == 0


def test_what_is_hidden_around_a_cut_out_object_does_not_count(mio: Mio, tmp_path: Path) -> None:
    """Programs that cut objects out leave black under what is transparent, which made photos look dark."""
    rows, columns = np.mgrid[-1:1:300j, -1:1:451j]
    inside = rows**2 + columns**2 < 0.6
    seen = np.where(inside[:, :, None], skimage.data.chelsea(), 0).astype(np.uint8)
    cut = save(np.dstack([seen, np.uint8(255) * inside]), tmp_path / "cut.png")
    done = mio("restore", cut, "--json", "-o", tmp_path / "auto.png")
    assert json.loads(done.stdout)["status"] == "copied", done.stdout
    shares = json.loads(mio("classify", cut, "--json").stdout)["probabilities"]
    assert shares["clean"] > 0.5
    assert mio("restore", cut, "--task", "noise", "-o", tmp_path / "noise.png").returncode == 0
    restored = load(tmp_path / "noise.png")
    assert not restored[~inside].any(), "what nobody sees stays as it was"
    assert np.abs(restored[inside, :3].astype(int) - seen[inside]).mean() < 4


def test_tiles_leave_no_trace(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    large = np.tile(noisy, (3, 2, 1))[:700, :760]
    photo = save(large, tmp_path / "photo.png")
    for task in ("noise", "haze", "lowlight"):
        for tile in (256, 1024):
            target = tmp_path / f"{task}{tile}.png"
            assert mio("restore", photo, "--task", task, "--tile", tile, "-o", target).returncode == 0
        tiled, whole = (load(tmp_path / f"{task}{tile}.png").astype(int) for tile in (256, 1024))
        # A value on the edge between two levels may fall either way.
        assert np.abs(tiled - whole).max() <= 1


def test_an_ensemble_is_better(mio: Mio, clean: np.ndarray, noisy: np.ndarray, tmp_path: Path) -> None:
    photo = save(noisy, tmp_path / "photo.png")
    quality = []
    for words in ([], ["--ensemble"]):
        assert mio("restore", photo, "--task", "noise", *words, "-o", tmp_path / "out.png").returncode == 0
        quality.append(peak_signal_noise_ratio(clean, load(tmp_path / "out.png")))
    assert quality[1] > quality[0] + 0.05


def test_the_same_photo_gives_the_same_file(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    photo = save(noisy, tmp_path / "photo.png")
    for threads in ("1", "2"):
        done = mio("restore", photo, "-o", tmp_path / f"{threads}.png", OMP_NUM_THREADS=threads)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (disc(torch.tensor([[3.0]])), r"out of focus, radius (2\.[6-9]|3\.[0-4]) px"),
        (line(torch.tensor([[5.0]]), torch.tensor([[0.7]])), r"moved by (9|10|11) px"),
    ],
)
def test_the_blur_of_a_camera_is_named(mio: Mio, kernel: torch.Tensor, words: str, tmp_path: Path) -> None:
    sharp = skimage.data.astronaut().astype(np.float32)
    blurred = cv2.filter2D(sharp, -1, kernel[0].numpy()).round().clip(0, 255)
    photo = save(blurred.astype(np.uint8), tmp_path / "photo.png")
    done = mio("restore", photo)
    assert re.search(rf": blur \({words}\) → ", done.stdout), done.stdout + done.stderr
    told = json.loads(mio("restore", photo, "--json").stdout)
    assert re.fullmatch(words, told["why"])
    assert told["passes"][0]["why"] == told["why"]


def test_drawings_are_not_taken_for_blurred(mio: Mio, tmp_path: Path) -> None:
    """The spectrum of few edges looks like that of a movement, whose inverse rings around every edge."""
    drawing = np.full((512, 512, 3), (120, 195, 185), np.uint8)
    hill = np.array([[0, 200], [512, 507], [512, 512], [0, 512]])
    cv2.fillPoly(drawing, [hill], (0, 95, 105), cv2.LINE_AA)
    cv2.circle(drawing, (370, 330), 90, (250, 185, 80), -1, cv2.LINE_AA)
    photo, target = save(drawing, tmp_path / "drawing.png"), tmp_path / "out.png"
    for words in ([], ["--adaptive"], ["--task", "blur"]):
        told = json.loads(mio("restore", photo, "--json", *words, "-o", target).stdout)
        assert not told["why"], told
        assert np.abs(load(target).astype(int) - drawing).max() < 32


def test_auto_uses_what_the_model_was_trained_on_only(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    save(noisy, tmp_path / "noisy.png")
    sharp = skimage.data.astronaut().astype(np.float32)
    blurred = cv2.filter2D(sharp, -1, disc(torch.tensor([[3.0]]))[0].numpy()).round().clip(0, 255)
    save(blurred.astype(np.uint8), tmp_path / "blurred.png")
    known = {}
    for task in ("rain", "noise", "blur"):
        shutil.copytree(registered()["mio-small"].folder, tmp_path / task)
        config = tmp_path / task / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"tasks": [task]}))
        done = mio(
            "restore", "noisy.png", "blurred.png", "--json", "--model", task, "-o", "out", cwd=tmp_path
        )
        known[task] = [json.loads(line)["tasks"] for line in done.stdout.splitlines()]
    assert known == {"rain": [{}, {}], "noise": [{"noise": 1.0}, {}], "blur": [{}, {"blur": 1.0}]}
    done = mio("restore", "noisy.png", "--model", "rain", "-o", "out/", cwd=tmp_path)
    assert "noisy.png: noise, which this model does not know: left alone (or name the task)" in done.stdout


def test_auto_leaves_drawings_alone_unless_they_are_jpegs(mio: Mio, tmp_path: Path) -> None:
    """Black outlines on a light ground made them look dark, and they were brightened."""
    drawing, random = np.full((400, 600, 3), 210, np.uint8), np.random.default_rng(0)
    for _ in range(12):
        centre, radius = (int(side * random.random()) for side in (600, 400)), int(random.integers(10, 70))
        place, colour = tuple(centre), random.integers(0, 255, 3).tolist()
        cv2.circle(drawing, place, radius, colour, -1, cv2.LINE_AA)
        cv2.circle(drawing, place, radius, (0, 0, 0), 3, cv2.LINE_AA)
    done = mio("restore", save(drawing, tmp_path / "drawing.png"), "--json")
    assert json.loads(done.stdout)["status"] == "copied", done.stdout
    done = mio("restore", save(drawing, tmp_path / "drawing.jpg", quality=25), "--json")
    assert json.loads(done.stdout)["tasks"] == {"jpeg": 1.0}, done.stdout


def test_auto_leaves_pictures_of_two_levels_alone(mio: Mio, tmp_path: Path) -> None:
    # Their spectra have the zeros that a lens or a movement leaves.
    stripes = np.tile(np.repeat([0, 255], 8), (256, 16)).astype(np.uint8)
    squares = np.where((stripes > 0) ^ (stripes.T > 0), 255, 0).astype(np.uint8)
    photos = [save(each, tmp_path / f"{index}.png") for index, each in enumerate((stripes, squares))]
    done = mio("restore", *photos, "-o", tmp_path / "out")
    assert done.stdout.count("clean, nothing to restore") == 2, done.stdout + done.stderr
    for photo in photos:
        assert (tmp_path / "out" / photo.name).read_bytes() == photo.read_bytes()


def test_before_and_after_picture(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    photo = save(noisy, tmp_path / "photo.png")
    done = mio("restore", photo, "--task", "noise", "--compare")
    assert done.returncode == 0, done.stderr
    assert f"→ {tmp_path}/photo.restored.png and {tmp_path}/photo.compare.jpg " in done.stdout
    told = mio("restore", photo, "--task", "noise", "--compare", "--json")
    assert json.loads(told.stdout)["compare"] == f"{tmp_path}/photo.compare.jpg"
    sheet = load(tmp_path / "photo.compare.jpg")
    height, width = noisy.shape[:2]
    assert sheet.shape == (height, 2 * width + 4, 3)
    assert np.abs(sheet[:, :width].astype(int) - noisy).mean() < 6
    assert (
        cv2.Laplacian(sheet[:, width + 4 :], cv2.CV_32F).std() < 0.6 * cv2.Laplacian(noisy, cv2.CV_32F).std()
    )
    # A second run must take neither for a photo of the user's; a folder goes to a folder.
    assert mio("restore", tmp_path, "--task", "noise", "-o", tmp_path / "out").returncode == 0
    assert files(tmp_path / "out") == ["photo.png"]
    assert mio("restore", photo, "--task", "noise", "-o", f"{tmp_path}/new/").returncode == 0
    assert files(tmp_path / "new") == ["photo.png"]


def test_standard_input_to_standard_output(noisy: np.ndarray, clean: np.ndarray, tmp_path: Path) -> None:
    import io
    import subprocess
    import sys

    photo = save(noisy, tmp_path / "photo.png")
    done = subprocess.run(
        [sys.executable, "-m", "mio_cli", "restore", "-", "--task", "noise"],
        input=photo.read_bytes(), capture_output=True, check=True, timeout=300,
    )  # fmt: skip
    restored = np.asarray(Image.open(io.BytesIO(done.stdout)).convert("RGB"))
    assert peak_signal_noise_ratio(clean, restored) > peak_signal_noise_ratio(clean, noisy) + 5


def test_what_the_camera_wrote_survives(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera & Sons"
    photo = save(noisy, tmp_path / "photo.jpg", exif=exif, quality=90, dpi=(300, 300))
    assert mio("restore", photo, "--task", "noise").returncode == 0
    with Image.open(tmp_path / "photo.restored.jpg") as restored:
        assert restored.size == noisy.shape[:2], "turned upright"
        assert restored.getexif().get(0x0112, 1) == 1, "and not to be turned again"
        assert restored.getexif()[0x010F] == "Camera & Sons"
        assert restored.info["dpi"] == (300, 300)


@pytest.mark.filterwarnings("ignore:Truncated:UserWarning")  # of reading it back
@pytest.mark.parametrize("suffix", ["jpg", "avif"])
def test_damaged_metadata_is_no_matter_for_the_terminal(
    mio: Mio, noisy: np.ndarray, tmp_path: Path, suffix: str
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a maker whose name is cut"
    photo = save(noisy[:64, :64], tmp_path / "photo.jpg", exif=exif.tobytes()[:-9])
    done = mio("restore", photo, "--task", "noise", "-o", tmp_path / f"out.{suffix}")
    assert done.returncode == 0
    assert "Warning" not in done.stderr + done.stdout
    assert load(tmp_path / f"out.{suffix}").shape == (64, 64, 3)


def test_help_waits_for_no_network_library(mio: Mio) -> None:
    script = (
        "import sys, runpy; sys.argv = ['mio', '--help']\n"
        "try: runpy.run_module('mio_cli', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'cv2', 'PIL', 'numpy', 'safetensors'} & set(sys.modules)))"
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "restore" in done.stdout


def test_options_are_few() -> None:
    import inspect

    from mio_cli.cli.restore import restore

    assert list(inspect.signature(restore).parameters) == [
        "paths",
        "task", "adaptive", "strength", "passes", "scale",
        "output", "compare", "skip_existing", "max_pixels",
        "model", "device", "tile", "ensemble", "jobs",
        "as_json", "debug",
    ]  # fmt: skip


def test_a_terminal_shows_names_as_they_are(mio: Mio, noisy: np.ndarray, tmp_path: Path) -> None:
    """Brackets are no markup, nor is what stands between colons a picture."""
    save(noisy[:64, :64], tmp_path / "[b]a:cat:.png")
    done = mio("restore", "[b]a:cat:.png", "--task", "noise", cwd=tmp_path, FORCE_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert "[b]a:cat:.png:" in done.stdout
    assert "[b]a:cat:.png" in done.stderr, "the bar names it, too"
