"""``mio data make-testset`` as users run it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.conftest import Mio, save


def test_make_testset_says_what_failed(mio: Mio, clean: np.ndarray, tmp_path: Path) -> None:
    save(clean[:96, :96], tmp_path / "photos" / "good.png")
    (tmp_path / "photos" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    done = mio("data", "make-testset", tmp_path / "photos", "-o", tmp_path / "set", "--group", "in-dis")
    assert done.returncode == 3
    assert "bad.png" in done.stderr
    assert "made 8 files" in done.stdout
    assert (tmp_path / "set" / "single_indis" / "rain" / "good.png").exists()
