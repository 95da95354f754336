"""How a feed-forward network is built: structure only, as plain data."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nstjax.errors import InputError

Normalization = Literal["instance", "batch", "conditional"]
Padding = Literal["reflect", "zero", "reflect-start"]
Upsampling = Literal["nearest", "bilinear", "transpose-torch", "transpose-tensorflow"]
Pixels = Literal["0..1", "0..255", "0..255 minus mean"]
Output = Literal["linear", "tanh", "sigmoid"]
Initialization = Literal["fan-in", "he", "normal", "truncated-normal"]

MOST_CHANNELS = 1024
MOST_STYLES = 256
MOST_CONVOLUTIONS = 5
MOST_SCALES = 4
MOST_STEPS = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformArchitecture:
    """Johnson's image transformation network and its published variants.

    Attributes:
      channels: of the convolutions that lead in, before ``width``: the first keeps the
        size, each of the others halves it.
      width: what the channels are multiplied by.
      residual_blocks: of the deepest channels.
      normalization: "instance"; "batch"; or "conditional", instance normalization with
        a γ and a β for each style.
      styles: how many, where conditional; else 1.
      normalize_output: whether the last convolution is normalized too.
      padding: "reflect" before every convolution; "zero"; or "reflect-start",
        reflection around the picture of two of the deepest positions for each residual
        block (40 pixels for five), which are without padding, zeros elsewhere.
      upsampling: to the "nearest" neighbor or "bilinear", then a convolution, for which
        "reflect" repeats the border; or a
        transposed convolution that crops its first ("transpose-torch") or last
        ("transpose-tensorflow") row and column.
      pixels: units of what goes in and, but for the sigmoid, comes out.
      output: of the last layer; "tanh" is 150·tanh, about the middle of the range.
      initialization: of kernels: U(±1/√fan_in), N(0, 2/fan_in), N(0, 0.01²), or
        N(0, 0.1²) cut at 2σ.
    """

    channels: tuple[int, ...] = (32, 64, 128)
    width: float = 1.0
    residual_blocks: int = 5
    normalization: Normalization = "instance"
    styles: int = 1
    epsilon: float = 1e-5
    normalize_output: bool = False
    bias: bool = True
    padding: Padding = "reflect"
    upsampling: Upsampling = "nearest"
    pixels: Pixels = "0..255"
    output: Output = "linear"
    initialization: Initialization = "fan-in"

    def __post_init__(self) -> None:
        _check_types(self)
        if self.styles != 1 and self.normalization != "conditional":
            raise InputError(
                f"{self.styles} styles need normalization=conditional, "
                f"not {self.normalization}"
            )
        _check_range("styles", [self.styles], 1, MOST_STYLES)
        _check_range("residual_blocks", [self.residual_blocks], 0, 50)
        for name, most in (("epsilon", 1), ("width", MOST_CHANNELS)):
            if not 0 < getattr(self, name) <= most:
                raise InputError(
                    f"{name} must be above 0 and at most {most}, "
                    f"got {getattr(self, name)}"
                )
        _check_range("count of channels", [len(self.channels)], 2, MOST_CONVOLUTIONS)
        _check_range("channels", self.channels, 1, MOST_CHANNELS)
        widened = f"channels times width {self.width}"
        _check_range(widened, self.widened_channels, 1, MOST_CHANNELS)

    @property
    def widened_channels(self) -> tuple[int, ...]:
        """Channels times width, rounded."""
        return tuple(round(self.width * count) for count in self.channels)

    @property
    def least_side(self) -> int:
        """Pixels that a picture needs on each side for the reflections."""
        start = max(self.stride, self.start_reflection + 1)
        least = {"reflect": 2 * self.stride, "zero": self.stride}
        return {**least, "reflect-start": start}[self.padding]

    @property
    def stride(self) -> int:
        """Pixels on a side of what the deepest activations have one position for."""
        return 2 ** (len(self.channels) - 1)

    @property
    def start_reflection(self) -> int:
        """Pixels on each side that residual blocks without padding use up."""
        return 2 * self.stride * self.residual_blocks


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaINArchitecture:
    """Decoder from relu4_1 of a VGG-19, of any width, back to a picture.

    ``channels`` are those of its three deeper resolutions.
    """

    encoder_channels: int = 512
    channels: tuple[int, int, int] = (256, 128, 64)
    upsampling: Literal["nearest", "bilinear"] = "nearest"
    initialization: Initialization = "fan-in"

    def __post_init__(self) -> None:
        _check_types(self)
        _check_range("encoder_channels", [self.encoder_channels], 1, MOST_CHANNELS)
        _check_range("channels", self.channels, 1, MOST_CHANNELS)

    @property
    def least_side(self) -> int:
        """Pixels that a picture needs on each side for relu4_1 to have 2."""
        return 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescentArchitecture:
    """The U-net of learned descent, see ``nstjax.feedforward.networks.descent``.

    Attributes:
      channels: of its resolutions, each half the sides of the one before.
      residual_blocks: of the deepest channels.
      steps: how often it is applied at each scale of the picture, the smallest first;
        each scale has half the sides of the next.
      encoder_channels: of the first four blocks of the VGG-19 whose gradient it sees.
    """

    channels: tuple[int, ...] = (16, 32, 64, 96)
    residual_blocks: int = 2
    steps: tuple[int, ...] = (2, 2, 2)
    encoder_channels: tuple[int, ...] = (16, 48, 64, 128)

    def __post_init__(self) -> None:
        _check_types(self)
        _check_range("count of channels", [len(self.channels)], 2, MOST_CONVOLUTIONS)
        _check_range("channels", self.channels, 1, MOST_CHANNELS)
        _check_range("residual_blocks", [self.residual_blocks], 0, 50)
        _check_range("count of steps", [len(self.steps)], 1, MOST_SCALES)
        _check_range("steps", self.steps, 1, MOST_STEPS)
        counted = [len(self.encoder_channels)]
        _check_range("count of encoder_channels", counted, 4, 4)
        _check_range("encoder_channels", self.encoder_channels, 1, MOST_CHANNELS)

    @property
    def stride(self) -> int:
        """Pixels on a side of what the deepest activations have one position for."""
        return 2 ** (len(self.channels) - 1)

    @property
    def schedule(self) -> list[int]:
        """The scale of each step, 0 for the smallest."""
        return [scale for scale, count in enumerate(self.steps) for _ in range(count)]

    @property
    def multiple(self) -> int:
        """What divides the sides of pictures, at the smallest scale, too."""
        return int(max(self.stride, 8) * 2 ** (len(self.steps) - 1))

    @property
    def halo(self) -> int:
        """Pixels that are seen on each side, rounded up to the stride."""
        return (4 + 2 * self.residual_blocks) * self.stride

    @property
    def least_side(self) -> int:
        """Pixels that a picture needs on each side for its smallest scale."""
        return 2 * self.multiple


Architecture = TransformArchitecture | AdaINArchitecture | DescentArchitecture
KINDS: dict[str, type[Architecture]] = {
    "transform": TransformArchitecture,
    "adain": AdaINArchitecture,
    "descent": DescentArchitecture,
}


def to_record(architecture: Architecture) -> dict[str, Any]:
    """The architecture as JSON has it."""
    kind = next(name for name, cls in KINDS.items() if isinstance(architecture, cls))
    return {"kind": kind, **dataclasses.asdict(architecture)}


def from_record(record: dict[str, Any]) -> Architecture:
    """The architecture that ``to_record`` was given."""
    try:
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        return KINDS[fields.pop("kind")](**fields)
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"no architecture that is known here ({error})") from error


def _check_types(architecture: Architecture) -> None:
    for name, hint in get_type_hints(type(architecture)).items():
        value, choices = getattr(architecture, name), get_args(hint)
        if get_origin(hint) is Literal:
            fits, wanted = value in choices, f"one of {', '.join(choices)}"
        elif get_origin(hint) is tuple:
            whole = isinstance(value, tuple) and {*map(type, value)} <= {int}
            fits = whole and (... in choices or len(value) == len(choices))
            wanted = "whole numbers" if ... in choices else "three whole numbers"
        elif hint is float:
            fits = type(value) is int or isinstance(value, float)
            wanted = "a number"
        else:
            fits = type(value) is hint
            wanted = {bool: "True or False", int: "a whole number"}[hint]
        if not fits:
            raise InputError(f"{name} must be {wanted}, got {value!r}")


def _check_range(name: str, counts: Sequence[int], least: int, most: int) -> None:
    for count in counts:
        if not least <= count <= most:
            raise InputError(f"{name} must lie in {least}..{most}, got {count}")
