"""Image quality as the paper's evaluation measures it: at 8 bits, without a border, in RGB or in luma."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from mio_cli.core.errors import PhotoError
from mio_cli.core.picture import Pixels

BORDER = 4
"""Pixels left out on every side (published protocol)."""

WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation in pixels of the Gaussian window of SSIM."""

CAP = 60.0
"""Decibels that count for a photo left exactly as it was, so that means stay finite."""

_LUMA = np.array([65.481, 128.553, 24.966]) / 255  # Rec. 601, 16 to 235, as MATLAB's rgb2ycbcr
_Levels = npt.NDArray[np.float64]


def to_8bit(photo: np.ndarray) -> npt.NDArray[np.uint8]:
    """[0, 1] floats → uint8 levels, clipped and rounded half to even, as written to a file."""
    return np.clip(np.round(photo * 255.0), 0, 255).astype(np.uint8)


def _levels(photo: np.ndarray, border: int, luma: bool) -> _Levels:
    """H×W×C grey levels 0 to 255 inside the border; luma is not rounded again."""
    levels = to_8bit(photo).astype(np.float64)
    if border:
        levels = levels[border:-border, border:-border]
    return (levels @ _LUMA + 16)[:, :, None] if luma else levels


def psnr(restored: np.ndarray, truth: np.ndarray, border: int = BORDER, *, luma: bool = False) -> float:
    """Peak signal-to-noise ratio in dB of two H×W×3 photos in [0, 1], in RGB (or luma) at 8 bits.

    Equal photos give infinity.
    """
    error = float(np.mean((_levels(restored, border, luma) - _levels(truth, border, luma)) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(restored: np.ndarray, truth: np.ndarray, border: int = BORDER, *, luma: bool = False) -> float:
    """Structural similarity of two H×W×3 photos in [0, 1]: mean over pixels and channels, at most 1.

    Wang et al., IEEE TIP 2004, with the authors' Gaussian window where it lies wholly inside the photo,
    for each channel by itself.
    """
    pairs = zip(*(np.moveaxis(_levels(x, border, luma), 2, 0) for x in (restored, truth)), strict=True)
    return float(np.mean([_ssim_map(a, b).mean() for a, b in pairs]))


def _ssim_map(a: _Levels, b: _Levels) -> _Levels:
    kernel = cv2.getGaussianKernel(WINDOW, SIGMA)
    edge = WINDOW // 2

    def mean(x: _Levels) -> _Levels:
        return cv2.sepFilter2D(x, -1, kernel, kernel)[edge:-edge, edge:-edge].astype(np.float64, copy=False)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    similar = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return similar / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))


@dataclass(frozen=True)
class Metric:
    """A measure of quality.

    Attributes:
        measure: (restored, truth or ``None``), H×W×3 in [0, 1] → a number.
        needs_truth: whether it compares with the true photo.
        decimals: digits behind the point in tables.
        less_is_better: whether small numbers are good ones.
    """

    name: str
    measure: Callable[[Pixels, Pixels | None], float]
    unit: str = ""
    needs_truth: bool = True
    decimals: int = 4
    less_is_better: bool = False

    def __call__(self, restored: Pixels, truth: Pixels | None) -> float:
        """Measure one photo.

        Raises:
            PhotoError: the photo is too small.
        """
        if min(restored.shape[:2]) < WINDOW + 2 * BORDER:
            raise PhotoError(
                f"a photo of {restored.shape[1]}×{restored.shape[0]} pixels is too small to measure",
                hint=f"both sides need {WINDOW + 2 * BORDER} pixels",
            )
        return self.measure(restored, truth)


def _capped_psnr(restored: Pixels, truth: Pixels | None, *, luma: bool) -> float:
    assert truth is not None
    return min(CAP, psnr(restored, truth, luma=luma))


def _ssim(restored: Pixels, truth: Pixels | None, *, luma: bool) -> float:
    assert truth is not None
    return ssim(restored, truth, luma=luma)


BUILT_IN = {
    metric.name: metric
    for metric in (
        Metric("psnr", partial(_capped_psnr, luma=False), unit="dB", decimals=2),
        Metric("ssim", partial(_ssim, luma=False)),
        Metric("psnr-y", partial(_capped_psnr, luma=True), unit="dB", decimals=2),
        Metric("ssim-y", partial(_ssim, luma=True)),
    )
}
"""The published protocol's measures by name; ``-y``: on the luma channel."""


def metrics_named(names: Sequence[str], device: str = "cpu") -> list[Metric]:
    """Metrics by name, each once: built in, or of the library behind the extra ``metrics``.

    Raises:
        UsageError: a name is unknown, or the library is not installed.
    """
    # Imported late: it is an extra.
    from mio_cli.evaluate.perceptual import perceptual_metric

    wanted = dict.fromkeys(name.lower() for name in names)
    return [BUILT_IN[name] if name in BUILT_IN else perceptual_metric(name, device) for name in wanted]
