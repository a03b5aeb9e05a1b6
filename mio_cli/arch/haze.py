"""Haze removal for a photo as a whole: the scattering model inverted, its transmission read from an overview.

How much haze lies before a place depends on how far away it is, which only the scene tells: the sky, the
horizon, what stands before what. A window of some dozen pixels shows none of it, a thumbnail all of it. So a
small U-net looks at the photo squeezed into 128×128 pixels and says how thick the haze is everywhere.

It is shown the mean of each place, and also the lowest and the highest value: hardly any place of a clear
photo is without something black, so what its darkest pixel has is the haze's (He et al., dark channel prior,
CVPR 2009), and haze takes the contrast between the two. A mean shows neither.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mio_cli.arch.layers import ResidualBlock, zeroed

OVERVIEW = 128
"""Side in pixels of what the scene is read from."""

VEIL_FEATURES = 3
"""Numbers that sum up a veil."""

THICKEST = 4.0
"""Optical depth at most: it takes all but a 55th of the contrast, and 8 bits keep little of that."""

LOOK, ZONES = 32, 8
"""Side of a photo's second look, in places, and the number of zones from near to far that describe it."""

DARK_RANKS, BRIGHT_RANKS = [0, 1, 6, 25], [125, 127]
"""Which of the 128 places of a zone, by how dark and how bright they are, its description holds."""

LOOKS = 2
"""How often a veil is corrected. A correction does half of what it finds, and the next sees what is left."""

LOOK_FEATURES = ZONES * (10 + len(DARK_RANKS) + len(BRIGHT_RANKS) + 2) + 1
"""Length of a description."""

VIEWS = 3
"""Of a place: its mean, and its lowest and highest value."""

ROWS = 1024
"""Rows of a photo that are looked at together where that takes a copy of them."""


def overview(photo: Tensor, side: int = OVERVIEW) -> Tensor:
    """The whole photo squeezed into a square: B×3×H×W → B×9×``side``×``side``.

    Of the area of each pixel RGB on average, at least and at most. A photo that is known only so already,
    B×9×h×w, is squeezed on.
    """
    mean, lowest, highest = photo.chunk(VIEWS, dim=1) if photo.shape[1] == 3 * VIEWS else (photo,) * VIEWS
    most = F.adaptive_max_pool2d(highest, side)
    return torch.cat([F.adaptive_avg_pool2d(mean, side), _lowest(lowest, side), most], dim=1)


def _lowest(photo: Tensor, side: int) -> Tensor:
    """The lowest value of each area, B×C×H×W → B×C×``side``×``side``."""
    narrow = [F.adaptive_max_pool2d(-part, (part.shape[2], side)) for part in photo.split(ROWS, dim=2)]
    return -F.adaptive_max_pool2d(torch.cat(narrow, dim=2), side)


def window(veil: Tensor, place: Tensor, height: int, width: int) -> Tensor:
    """The part of a photo's map that lies over a tile: B×C×h×w → B×C×``height``×``width``, bilinear.

    ``place`` is B×4: top, left, height and width of the tiles as shares of the photo. They may stick out.
    """
    top, left, high, wide = place.double().unbind(1)
    rows = _weights(top, high, height, veil.shape[2]).to(veil)
    columns = _weights(left, wide, width, veil.shape[3]).to(veil)
    device = "cpu" if veil.is_meta else veil.device.type
    with torch.autocast(device, enabled=False):  # half precision would leave steps
        return rows[:, None] @ veil @ columns[:, None].mT


def _weights(start: Tensor, length: Tensor, pixels: int, cells: int) -> Tensor:
    """The weights of a map's cells in each pixel of a window, along one axis: B×pixels×cells, float64.

    Double, so that a pixel gets the same weights whichever tile it is in.
    """
    centres = torch.arange(0.5, pixels, dtype=torch.float64, device=start.device) / pixels
    positions = (start[:, None] + length[:, None] * centres) * cells - 0.5
    grid = torch.arange(cells, device=start.device)
    return (1 - (positions.clamp(0, cells - 1)[:, :, None] - grid).abs()).clamp_min(0)


def veil_features(veil: Tensor) -> Tensor:
    """How hazy a photo is on the whole, B×2×h×w → B×3: mean and greatest optical depth, and the airlight."""
    depth, airlight = veil.flatten(2).unbind(1)
    return torch.stack([depth.mean(dim=1), depth.amax(dim=1), airlight.mean(dim=1)], dim=1)


class HazeReader(nn.Module):
    """Overview B×9×128×128 in [0, 1] → veil B×2×64×64: optical depth ``β·d`` ≥ 0 and airlight in [0, 1].

    Half the overview's size is enough: with the true depth at 64×64 photos come back at 43 dB.

    Args:
        widths: channels at the veil's size, at half of it, and so on down to the middle.
        middle: residual blocks there.
    """

    position: Tensor

    def __init__(self, widths: tuple[int, ...] = (48, 96, 128, 128), middle: int = 4) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.intro = nn.Conv2d(3 * VIEWS * 4 + 2, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(ResidualBlock(width) for width, _ in pairs)
        self.down = nn.ModuleList(nn.Conv2d(width, below, 2, stride=2) for width, below in pairs)
        self.middle = nn.Sequential(*(ResidualBlock(widths[-1]) for _ in range(middle)))
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(below, 4 * width, 1), nn.PixelShuffle(2)) for width, below in pairs
        )
        self.decoder = nn.ModuleList(ResidualBlock(width) for width, _ in pairs)
        self.depth = zeroed(nn.Conv2d(widths[0], 1, 3, padding=1))
        # The scene as a whole: what its features are on average, and at most.
        self.scene = zeroed(nn.Linear(2 * widths[-1], widths[-1]))
        self.airlight = nn.Sequential(
            nn.Linear(2 * widths[-1], 64), nn.ReLU(inplace=True), zeroed(nn.Linear(64, 1))
        )
        # Where in the photo: above is far more often than below.
        axis = torch.linspace(-1, 1, OVERVIEW // 2)
        position = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))
        self.register_buffer("position", position, persistent=False)

    def forward(self, overview: Tensor) -> Tensor:
        position = self.position.expand(len(overview), -1, -1, -1)
        features = self.intro(torch.cat([F.pixel_unshuffle(4 * overview - 2, 2), position], dim=1))
        skips = []
        for block, down in zip(self.encoder, self.down, strict=True):
            features = block(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        scene = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        features = features + self.scene(scene)[:, :, None, None]
        for level in reversed(range(len(skips))):
            features = self.decoder[level](self.up[level](features) + skips[level])
        # Untrained: some haze, and an airlight of 0.88.
        depth = F.softplus(self.depth(features).float() - 1).clamp_max(THICKEST)
        airlight = torch.sigmoid(self.airlight(scene).float() + 2)
        return torch.cat([depth, airlight[:, :, None, None].expand_as(depth)], dim=1)


def lifted(x: Tensor, veil: Tensor) -> Tensor:
    """``J = (I − A)·e^(β·d) + A``, the paper's haze inverted: B×3×H×W and B×2×H×W → B×3×H×W."""
    depth, airlight = veil.float().chunk(2, dim=1)
    return (x - airlight) * depth.exp() + airlight


class SecondLook(nn.Module):
    """Correct a veil by what the photo would look like without it.

    How thick haze is on the whole is harder to see than where it is thicker. But a veil taken for too thick
    leaves values below black, and one taken for too thin leaves what is far paler and less dark than what is
    near. So the lifted photo is described in zones from near to far, and all depths are stretched and moved
    by what a small network makes of that; and once more.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, hidden: int = 96) -> None:
        super().__init__()
        # What descriptions are on average, and by how much they vary.
        self.register_buffer("centre", torch.zeros(LOOK_FEATURES))
        self.register_buffer("spread", torch.ones(LOOK_FEATURES))
        self.read = nn.Sequential(
            nn.Linear(LOOK_FEATURES, hidden), nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
            zeroed(nn.Linear(hidden, 3)),
        )  # fmt: skip

    def forward(self, scene: Tensor, veil: Tensor) -> Tensor:
        """Overview of a scene, B×9×H×W, and its veil B×2×h×w → a better veil B×2×h×w."""
        for _ in range(LOOKS):
            seen = (self.describe(scene, veil) - self.centre) / self.spread
            veil = self.corrected(veil, self.read(seen))
        return veil

    @staticmethod
    def corrected(veil: Tensor, change: Tensor) -> Tensor:
        """The veil with a factor's logarithm, and what is added to depths and to the airlight, B×3."""
        depth, airlight = veil.chunk(2, dim=1)
        factor, more, lighter = change[:, :, None, None].chunk(3, dim=1)
        depth = (depth * factor.clamp(-1, 1).exp() + more).clamp(0, THICKEST)
        return torch.cat([depth, (airlight + lighter).clamp(0, 1)], dim=1)

    @staticmethod
    def describe(scene: Tensor, veil: Tensor) -> Tensor:
        """How dark, bright, colourful and rich in contrast the lifted photo is, from near to far: B×F."""
        views = overview(scene, LOOK).chunk(VIEWS, dim=1)
        veil = F.adaptive_avg_pool2d(veil, LOOK)
        order = veil[:, 0].flatten(1).argsort(dim=1)

        def zones(plane: Tensor) -> Tensor:
            """B×H×W → B×zones×places, the nearest first."""
            return plane.flatten(1).gather(1, order).unflatten(1, (ZONES, -1))

        mean, lowest, highest = (lifted(view, veil) for view in views)
        dark, bright = zones(lowest.amin(dim=1)), zones(highest.amax(dim=1))
        colourful = zones(mean.amax(dim=1) - mean.amin(dim=1))
        hazy = zones(views[1].amin(dim=1))
        warm, contrast = zones(mean[:, 0] - mean[:, 2]), zones((highest - lowest).mean(dim=1))
        planes = [
            dark, bright, zones(mean.mean(dim=1)), colourful, contrast, warm, zones(veil[:, 0]), hazy,
            dark.clamp_max(0), (bright - 1).clamp_min(0),
        ]  # fmt: skip
        means = [plane.mean(dim=2) for plane in planes]
        ranked = [
            plane.sort(dim=2).values[:, :, ranks].mT.flatten(1)
            for plane, ranks in ((dark, DARK_RANKS), (bright, BRIGHT_RANKS))
        ]
        extremes = [colourful.amax(dim=2), hazy.amin(dim=2)]
        return torch.cat([*means, *ranked, *extremes, veil[:, 1:, 0, 0]], dim=1)


class HazeRemoval(nn.Module):
    """Lift a veil from B×3×H×W as far as the code finds it is there: optical depths are multiplied by ``s``.

    The strength ``s`` in (0, 1) comes from the code B×F, which also tells whether there is haze at all.
    """

    def __init__(self, features: int, hidden: int = 64) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(inplace=True), zeroed(nn.Linear(hidden, 1))
        )

    def forward(self, x: Tensor, code: Tensor, veil: Tensor) -> Tensor:
        """``veil`` is B×2×H×W, as :class:`HazeReader` finds it, over the same pixels as ``x``."""
        strength = self.read(code).float().sigmoid()[:, :, None, None]
        return lifted(x, torch.cat([strength * veil[:, :1].float(), veil[:, 1:].float()], dim=1))
