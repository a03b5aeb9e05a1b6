"""Photos as programs hold them (Pillow, NumPy, torch) to pictures, and back to the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from mio_cli.core.errors import UsageError
from mio_cli.core.picture import Picture, Pixels

Array = npt.NDArray[Any]

ImageKind = TypeVar("ImageKind", Image.Image, Array, Tensor)
"""A ``PIL.Image``; an H×W, H×W×1, H×W×2 (grey, alpha), H×W×3 or H×W×4 array of uint8, uint16 or floats in
[0, 1]; or a tensor 3×H×W or B×3×H×W of floats in [0, 1]. Colours are sRGB."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601, as in JPEG
_DIRECT = ("L", "LA", "RGB", "RGBA", "I;16", "I;16L", "I;16B", "I;16N")
_REDUCED = {"1": "L", "La": "LA", "RGBa": "RGBA"}


def pictures_of(image: Image.Image | Array | Tensor) -> list[Picture]:
    """One picture, or those of a batch.

    Raises:
        UsageError: an object, shape, dtype or range of values that is not among :data:`ImageKind`.
    """
    if isinstance(image, Image.Image):
        return [_from_array(np.asarray(_plain(image)))]
    if isinstance(image, np.ndarray):
        return [_from_array(image)]
    if isinstance(image, Tensor):
        return _from_tensor(image)
    raise UsageError(
        f"cannot restore an object of the type {type(image).__name__}",
        hint="pass a PIL.Image, a NumPy array or a torch tensor",
    )


def as_kind_of(image: ImageKind, pictures: Sequence[Picture]) -> ImageKind:
    """``pictures`` as the kind of image, dtype, device and number of channels that ``image`` has.

    Pillow images keep their ``info``. Palettes and modes such as CMYK become RGB or RGBA, without a profile.
    """
    if isinstance(image, Tensor):
        batch = torch.stack([torch.from_numpy(picture.rgb).permute(2, 0, 1) for picture in pictures])
        return (batch if image.ndim == 4 else batch[0]).to(image.device, image.dtype).contiguous()
    [picture] = pictures
    if isinstance(image, np.ndarray):
        array = _to_array(picture, image.dtype)
        return array[:, :, 0] if image.ndim == 2 else array
    array = _to_array(picture, np.asarray(_plain(image)).dtype)
    result = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    lost = ("transparency", "icc_profile") if image.mode in ("CMYK", "LAB") else ("transparency",)
    result.info = {key: value for key, value in image.info.items() if key not in lost}
    return result


def _plain(image: Image.Image) -> Image.Image:
    """``image`` in a mode whose array has the pixels themselves."""
    if image.mode in _DIRECT and not ("transparency" in image.info and image.mode in ("L", "RGB")):
        return image
    if image.mode in ("F", "I"):
        raise UsageError(
            f"a Pillow image of the mode {image.mode} has no fixed range",
            hint="pass a NumPy array of uint16, or of floats in [0, 1]",
        )
    if image.mode in _REDUCED:
        return image.convert(_REDUCED[image.mode])
    grey = image.mode == "L"
    if image.has_transparency_data:
        return image.convert("LA" if grey else "RGBA")
    return image.convert("RGB")


def _white(dtype: np.dtype[Any]) -> float:
    """The value of white."""
    if dtype.kind == "f":
        return 1.0
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return float(np.iinfo(dtype).max)
    raise UsageError(f"cannot restore an array of {dtype}", hint="pass uint8, uint16 or floats in [0, 1]")


def _from_array(array: Array) -> Picture:
    shape = array.shape
    if array.ndim not in (2, 3) or 0 in shape or (array.ndim == 3 and shape[2] > 4):
        raise UsageError(
            f"cannot restore an array of the shape {shape}",
            hint="pass H×W, H×W×3 or H×W×4 (with alpha)",
        )
    white = _white(array.dtype)
    values = array.reshape(*shape[:2], -1).astype(np.float32)
    if array.dtype.kind == "f":
        values = _checked(values)
    elif white != 1:
        values /= np.float32(white)
    grey = values.shape[2] <= 2
    rgb = np.repeat(values[:, :, :1], 3, axis=2) if grey else np.ascontiguousarray(values[:, :, :3])
    alpha = np.ascontiguousarray(values[:, :, -1]) if values.shape[2] in (2, 4) else None
    return Picture(rgb=rgb, alpha=alpha, grey=grey)


def _to_array(picture: Picture, dtype: np.dtype[Any]) -> Array:
    """H×W×C of ``dtype``."""
    colours = (picture.rgb @ _LUMA)[:, :, None] if picture.grey else picture.rgb
    layers = [colours] if picture.alpha is None else [colours, picture.alpha[:, :, None]]
    values = np.clip(np.concatenate(layers, axis=2), 0, 1)
    if dtype.kind != "f":
        values = np.rint(values * np.float32(_white(dtype)))
    return values.astype(dtype)


def _from_tensor(image: Tensor) -> list[Picture]:
    shape = tuple(image.shape)
    if image.ndim not in (3, 4) or shape[-3] != 3 or 0 in shape or not image.is_floating_point():
        kind = str(image.dtype).removeprefix("torch.")
        raise UsageError(
            f"cannot restore a tensor of {kind} of the shape {shape}",
            hint="pass 3×H×W or B×3×H×W of floats in [0, 1]",
        )
    batch = image.detach().to("cpu", torch.float32).reshape(-1, *shape[-3:]).permute(0, 2, 3, 1)
    return [Picture(rgb=_checked(cast(Pixels, np.ascontiguousarray(photo.numpy())))) for photo in batch]


def _checked(values: Pixels) -> Pixels:
    """``values`` clipped to [0, 1]; noise may go a little beyond, other units may not."""
    low, high = float(values.min()), float(values.max())
    if not (low >= -1 and high <= 2):
        raise UsageError(
            f"cannot restore floats from {low:g} to {high:g}", hint="pass floats in [0, 1], such as x / 255"
        )
    return np.clip(values, 0, 1)
