"""The number of threads changes no value."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch

from mio_cli.infer.restorer import Restorer


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer("mio-small", device="cpu")


@pytest.mark.parametrize("size", [(300, 451), (100, 77), (30, 400), (40, 40)])
@pytest.mark.parametrize("options", [{"adaptive": True}, {"task": "jpeg"}])
def test_a_photo_is_restored_alike_by_one_thread_and_by_two(
    restorer: Restorer, size: tuple[int, int], options: dict[str, bool | str]
) -> None:
    photo = np.float32(skimage.data.chelsea()[: size[0], : size[1]]) / 255
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append((restorer.engine.haziness(photo), restorer(photo, **options)))
    finally:
        torch.set_num_threads(threads)
    (haziness, one), (again, two) = results
    assert haziness == again
    np.testing.assert_array_equal(one, two)
