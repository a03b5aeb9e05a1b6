"""Tiles fit into the memory that there is, and shrink when it runs out all the same."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mio_cli.arch import build_model
from mio_cli.arch.spec import ModelSpec
from mio_cli.infer import engine as engine_module
from mio_cli.infer import memory
from mio_cli.infer.engine import TILES, Engine

SHORT_OF_MEMORY = """
import json, resource
import numpy as np, torch
from mio_cli.infer.engine import Engine
from tests.infer.networks import lively

torch.set_num_threads(1)
net = lively(prompt=None, widths=(16, 32), encoder=(1,), middle=1, decoder=(1,))
net.to(memory_format=torch.channels_last)
notes = []
engine = Engine(net, device=torch.device("cpu"), tile=1024, note=notes.append)
photo = np.random.default_rng(0).random((1024, 1024, 3), dtype=np.float32)
whole = engine(photo)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for megabytes, tile, batch in ((100, 1024, 1), (100, 512, 8), (1, 1024, 1)):
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))
    engine.tile, engine.batch = tile, batch
    try:
        same = abs(engine(photo) - whole).max() < 1e-5
        print(json.dumps({"same": bool(same), "tile": engine.tile, "batch": engine.batch, "notes": notes}))
    except Exception as error:
        print(type(error).__name__, error)
    notes.clear()
"""

MEMORY_OF_A_PASS = """
import hashlib, json, resource, sys
import numpy as np, torch
from mio_cli.infer.engine import Engine
from mio_cli.infer.memory import keep_freed_memory, return_freed_memory
from tests.infer.networks import lively

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

if "keep" in sys.argv:
    keep_freed_memory()
torch.set_num_threads(1)
net = lively(prompt=None, widths=(16, 32), encoder=(1,), middle=1, decoder=(1,))
engine = Engine(net.to(memory_format=torch.channels_last), device=torch.device("cpu"), tile=1024)
photo = np.random.default_rng(0).random((1024, 1024, 3), dtype=np.float32)
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    result = engine(photo)
    fresh_pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
kept = resident()
return_freed_memory()
digest = hashlib.sha256(result.tobytes()).hexdigest()
print(json.dumps({"fresh pages": fresh_pages, "returned": kept - resident(), "digest": digest}))
"""


LEFT_BY_DECODING = """
import resource, sys
from pathlib import Path
import numpy as np, skimage.data
from PIL import Image
from mio_cli.infer.auto import Decision
from mio_cli.infer.batch import Options, restore_files
from mio_cli.infer.memory import keep_freed_memory
from mio_cli.infer.restorer import Restored
from mio_cli.io import find_photos

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

class Scales:
    def restore(self, photo, request, advance):
        print(resident() - photo.nbytes)
        return Restored(photo, (Decision("none"),))

keep_freed_memory()
for name, times in (("small.jpg", 1), ("large.jpg", 8)):
    Image.fromarray(np.tile(skimage.data.astronaut(), (times, times, 1))).save(Path(sys.argv[1], name))
    photos = find_photos([Path(sys.argv[1], name)])
    assert [outcome.status for outcome in restore_files(photos, Scales(), Options())] == ["copied"]
"""


ALLOCATOR = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Starts of the names of variables that change how memory is allocated."""


class Doubling(nn.Module):
    """``x * 2 / 2``: at its peak two copies of the photo are alive beside the input."""

    spec, config = ModelSpec(), None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        doubled = x * 2
        half = doubled / 2
        del doubled
        return half.relu_()


def test_memory_is_counted_by_what_is_alive_at_once() -> None:
    x = torch.rand(1, 3, 40, 50)
    assert memory.bytes_per_pixel(Doubling(), x) == pytest.approx(memory.WORKSPACE * 2 * 3 * 4)
    net = build_model("compact", widths=(8, 16), encoder=(1,), middle=1, decoder=(1,), prompt=None).eval()
    small, large = (memory.bytes_per_pixel(net, torch.rand(1, 3, side, side)) for side in (64, 160))
    assert small == pytest.approx(large, rel=0.02)
    assert small > memory.WORKSPACE * 2 * 8 * 4, "at least two maps of eight channels"


@pytest.mark.parametrize(
    ("gigabytes", "tile", "told"), [(64, 1024, False), (0.2, 1024, False), (0.03, 512, True), (0, 256, True)]
)
def test_the_tile_follows_the_free_memory(
    monkeypatch: pytest.MonkeyPatch, gigabytes: float, tile: int, told: bool
) -> None:
    monkeypatch.setattr(engine_module, "free_memory", lambda device: int(gigabytes * 1e9))
    notes: list[str] = []
    engine = Engine(Doubling(), note=notes.append)
    photo = np.random.default_rng(0).random((40, 1500, 3), dtype=np.float32)
    np.testing.assert_allclose(engine(photo), photo, atol=1e-6)
    assert engine.tile == tile
    assert [f"tiles of {tile} pixels" in note for note in notes] == [True] * told


def test_a_photo_that_fits_anyway_is_no_reason_for_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "free_memory", lambda device: 0)
    notes: list[str] = []
    Engine(Doubling(), note=notes.append)(np.zeros((9, 9, 3), np.float32))
    assert notes == []


def test_a_container_is_believed(tmp_path: Path) -> None:
    for name, text in {
        "max": "1000000\n", "current": "900000\n", "stat": "anon 1\ninactive_file 50000\n"
    }.items():  # fmt: skip
        (tmp_path / f"memory.{name}").write_text(text)
    assert memory._free_in_container(tmp_path) == 150_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._free_in_container(tmp_path) is None
    assert memory._free_in_container(tmp_path / "nowhere") is None


@pytest.mark.skipif(sys.platform != "linux", reason="the system says how much is free")
def test_this_machine_has_some() -> None:
    free = memory.free_memory(torch.device("cpu"))
    assert free is not None
    assert free > 2**24
    assert Engine(Doubling()).tile is None, "chosen with the first photo"
    assert list(TILES) == sorted(TILES, reverse=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process can limit its memory")
def test_when_memory_runs_out_the_tiles_shrink_until_they_fit() -> None:
    # Freed memory must go back to the system at once: kept for later, it would soften the limit.
    environment = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY],
        capture_output=True, text=True, timeout=300, env=os.environ | environment,
    )  # fmt: skip
    single, several, scarce = done.stdout.splitlines()
    found = json.loads(single)
    assert (found["same"], found["tile"] in (256, 512), found["batch"]) == (True, True, 1)
    assert found["notes"] == ["memory ran out; going on with tiles of 512 instead of 1024 pixels"]
    found = json.loads(several)
    assert (found["same"], found["tile"] in (256, 512), found["batch"] < 8) == (True, True, True)
    assert found["notes"] == ["memory ran out; going on with batches of 4 instead of 8 tiles"], "told once"
    assert scarce.startswith("MioError not enough memory"), scarce


@pytest.mark.parametrize("words", ["could not create a primitive", "[enforce fail] can't allocate memory"])
def test_whoever_says_that_memory_ran_out_is_understood(words: str) -> None:
    """oneDNN and torch have words of their own."""

    class Scarce(Doubling):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[-1] > 256:
                raise RuntimeError(words)
            return super().forward(x)

    notes: list[str] = []
    photo = np.zeros((8, 700, 3), np.float32)
    Engine(Scarce(), tile=512, batch=1, note=notes.append)(photo)
    assert notes == ["memory ran out; going on with tiles of 256 instead of 512 pixels"]


@pytest.mark.parametrize("shape", [(600, 12_000), (12_000, 600)])
def test_to_look_at_a_panorama_takes_no_more_memory_than_a_tile(shape: tuple[int, int]) -> None:
    engine = Engine(build_model("compact", prompt="adaptive").eval())
    with torch.inference_mode(), memory._LiveBytes() as live:
        engine.code(np.full((*shape, 3), 0.5, np.float32), None)
    assert live.peak < 200e6


def test_the_network_lets_go_of_what_no_layer_needs_any_more() -> None:
    net = build_model("compact").eval()
    with torch.inference_mode(), memory._LiveBytes() as live:
        net(torch.rand(1, 3, 256, 256))
    assert live.peak < 320 * 256**2, "five maps of 16 channels, not eight"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="that is where memory is returned too eagerly")
def test_freed_memory_is_kept_for_the_next_pass_and_returned_when_asked() -> None:
    plain, keeping = (memory_of_a_pass(*words) for words in ([], ["keep"]))
    assert keeping["fresh pages"] < 0.2 * plain["fresh pages"]
    one_map = 16 * 1024**2 * 4
    assert keeping["returned"] > 2 * one_map
    assert keeping["digest"] == plain["digest"]


def memory_of_a_pass(*words: str) -> dict[str, Any]:
    """What the last of four equal passes does."""
    return json.loads(run_undisturbed(MEMORY_OF_A_PASS, *words))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="that is where freed memory is kept")
def test_what_decoding_a_large_photo_took_is_returned_before_the_network_runs(tmp_path: Path) -> None:
    small, large = map(int, run_undisturbed(LEFT_BY_DECODING, str(tmp_path)).split())
    assert large - small < 4096**2, "less than a byte a pixel"


def run_undisturbed(program: str, *words: str) -> str:
    """What a program prints, in a process of its own with nothing set for its allocator."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ALLOCATOR)}
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True, text=True, check=True, timeout=300, env=environment | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return done.stdout
