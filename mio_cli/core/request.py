"""What to do with a photo, as the command line and the Python API say it."""

from __future__ import annotations

from dataclasses import dataclass

from mio_cli.core.errors import UsageError
from mio_cli.core.tasks import Prompt, Task, parse_prompts

SCALES = (2, 3, 4)
"""How many times super-resolution enlarges."""

LEAST_TILE = 256
"""Side in pixels of the smallest tiles: those above it overlap by a smaller part."""


@dataclass(frozen=True)
class Request:
    """How photos are to be restored. By default the classifier decides for each photo (auto).

    Attributes:
        prompts: one explicit prompt for each pass, in the order of the passes; empty for auto and adaptive.
        adaptive: let the photo itself be the prompt.
        strength: 1 for the restored photo, 0 for the original, between them a blend.
        scale: enlarge so many times, just before the pass for super-resolution; 1 keeps the size.
        passes: how often, at most, auto classifies and restores.

    Raises:
        UsageError: a value is out of range, or two contradict each other.
    """

    prompts: tuple[Prompt, ...] = ()
    adaptive: bool = False
    strength: float = 1.0
    scale: int = 1
    passes: int = 1

    def __post_init__(self) -> None:
        """Check what the class promises."""
        if self.adaptive and self.prompts:
            raise UsageError("--adaptive and --task contradict each other", hint="leave one out")
        if not 0 <= self.strength <= 1:
            raise UsageError(f"cannot use --strength {self.strength}", hint="choose a number from 0 to 1")
        enlarges = any(Task.SR in prompt for prompt in self.prompts)
        if self.scale != 1 and not (enlarges and type(self.scale) is int and self.scale in SCALES):
            raise UsageError(
                f"cannot use --scale {self.scale} here", hint="enlarge with --task sr --scale 2, 3 or 4"
            )
        if self.passes < 1 or (self.passes > 1 and not self.is_auto):
            raise UsageError(
                f"cannot use --passes {self.passes} here",
                hint="repeat with --task auto --passes 3, or name the passes as in --task noise,jpeg",
            )

    @property
    def is_auto(self) -> bool:
        """Whether the classifier decides."""
        return not self.prompts and not self.adaptive

    @classmethod
    def parse(
        cls,
        task: str = "auto",
        *,
        adaptive: bool = False,
        strength: float = 1.0,
        scale: int = 1,
        passes: int = 1,
    ) -> Request:
        """A request whose prompts are written as on the command line; see :func:`parse_prompts`."""
        return cls(parse_prompts(task), adaptive, strength, scale, passes)
