"""The demo's style picture: dusk over a valley, in oil, painted by code.

Every part of the scene has a stream function. Brush strokes follow its contours and
take their color from its value, so the bands of color turn with the strokes. Lengths
are in units of the canvas's long side and y points down, so one seed gives the same
strokes at every size.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.floating]

SUPERSAMPLING = 2
MARGIN = 0.08  # strokes also start outside the canvas, so that its edges are covered
GRID_STEP = 1 / 320
STEPS = 10  # from a stroke's middle to either end
BRISTLES = 9
BATCH_SAMPLES = 4_000_000  # bounds the memory of one batch of strokes
SAMPLES_PER_PIXEL = 1.35  # above 1, because strokes fan out where they bend

# Ramps of oil colors, shadow to light.
NIGHT = ("0b1148", "16277c", "1d44a6", "2470c0", "37a3c4", "8fd3c8", "eef0c4")
DUSK = ("1d1c68", "34389a", "66509f", "a9648f", "dd8068", "f3ad66", "fbdf9a")
EMBER = ("7e2420", "bb3a1d", "e0621f", "f08f27", "f7bb38", "fbdc62", "fff4bc")
RANGE = ("17165a", "28318c", "3452a8", "3a7fb4", "5eb0b6", "a4cfae", "f4dc9c")
GROVE = ("0a1f3a", "0f4250", "1a665c", "35895a", "7cab4c", "c6c75a", "f3e48a")
WHEAT = ("5a2a3c", "94502a", "c07c22", "dca02a", "efc040", "f7d966", "fdf0b0")
BARK = ("070c24", "0b1c38", "0f3440", "1c4f42", "3a6c3e", "7a8c3c", "d0b450")

# Where things stand: u and v are shares of the canvas's width and height.
VORTICES = (  # u, v, radius, sense of turning
    (0.53, 0.19, 0.115, 1),
    (0.17, 0.10, 0.07, -1),
    (0.68, 0.41, 0.095, -1),
    (0.985, 0.36, 0.07, 1),
    (0.02, 0.33, 0.06, 1),
)
DISCS = ((0.30, 0.45, 0.085, 1), (0.745, 0.12, 0.034, 0))  # u, v, radius, warmth
TREE = (  # u of the foot, v of the tip, width, lean of the tip
    (0.935, 0.40, 0.05, -0.03),
    (0.80, 0.44, 0.05, 0.01),
    (0.87, 0.10, 0.062, 0.03),
    (0.90, 0.60, 0.05, 0.06),
    (0.835, 0.64, 0.045, -0.05),
)
BRUSHES = (  # length of a stroke, its width, times the region is covered, added tone
    (0.090, 0.0240, 3.5, -0.06),
    (0.078, 0.0150, 2.2, 0.00),
    (0.065, 0.0105, 1.1, 0.03),
    (0.048, 0.0070, 0.4, 0.14),
)


class Plane(NamedTuple):
    """The scene's grid: coordinates ``[rows, cols]`` and the canvas's two sides."""

    x: Floats
    y: Floats
    w: float
    h: float


class Region(NamedTuple):
    """A part of the scene on the grid, every map ``[rows, cols]``."""

    inside: NDArray[np.bool_]
    stream: Floats
    tone: Floats  # along the palette's ramps, 0 shadow to 1 light
    warmth: Floats  # across them, 0 the first to 1 the last
    palette: Floats  # [ramps, colors, 3]
    scale: float = 1.0  # of brush sizes
    spiral: float = 0.0  # turns strokes off the contours, in radians


class Strokes(NamedTuple):
    """``n`` strokes: path ``[n, points, 2]``, width ``[n]``, two colors, bristles."""

    path: Floats
    width: Floats
    colors: Floats
    bristles: Floats


def _palette(*ramps: tuple[str, ...]) -> Floats:
    return np.array([[list(bytes.fromhex(c)) for c in ramp] for ramp in ramps]) / 255


def _bump(distance: Floats, order: int = 2) -> Floats:
    return np.exp(-(distance**order))


def _waves(plane: Plane, rng: Generator, count: int, low: float, high: float) -> Floats:
    """Smooth noise: plane waves with wave numbers in ``low..high`` and unit slopes."""
    total = np.zeros_like(plane.x)
    for _ in range(count):
        k, angle = rng.uniform(low, high), rng.uniform(0, 2 * np.pi)
        along = plane.x * np.cos(angle) + plane.y * np.sin(angle)
        total += np.sin(k * along + rng.uniform(0, 2 * np.pi)) / k
    return total


def _sky(plane: Plane, rng: Generator) -> Region:
    x, y, w, h = plane
    stream = 0.5 * y + 0.16 * _waves(plane, rng, 6, 8, 22)
    arms = np.zeros_like(x)
    for u, v, radius, turn in VORTICES:
        dx, dy = x - u * w, y - v * h
        stream += turn * 1.25 * radius * _bump(np.hypot(dx, dy) / (1.4 * radius))
        arms += 2 * turn * np.arctan2(dy, dx)
    bands = np.sin(45 * stream + arms)
    tone = 0.33 + 0.25 * bands + 0.12 * y / h
    warmth = (0.36 + 0.2 * bands) * _bump((y / h - 0.62) / 0.16) + 0.05
    for u, v, radius, heat in DISCS:
        r = np.hypot(x - u * w, y - v * h) / radius
        rings = 0.5 * v * h + 3 * radius * _bump(r / 1.8)
        stream += _bump(r / 2.1, 4) * (rings - stream)
        light = np.maximum(0.80 - 0.28 * r + 0.13 * np.sin(7.5 * r), 0.3) + 0.15
        tone += _bump(r / 1.75, 6) * (light - tone)
        warmth = np.maximum(warmth, heat * _bump(r / 2.2, 4))
    palette = _palette(NIGHT, DUSK, EMBER)
    return Region(np.full(x.shape, True), stream, tone, warmth, palette, spiral=0.12)


def _hill(plane: Plane, rng: Generator, base: float, palette: Floats) -> Region:
    u = plane.x / plane.w
    swell = np.sin(2 * np.pi * (rng.uniform(0.7, 1.1) * u + rng.uniform()))
    ripple = np.sin(2 * np.pi * (2.3 * u + rng.uniform()))
    depth = plane.y - plane.h * (base + 0.035 * swell + 0.012 * ripple)
    rough = 0.12 * _waves(plane, rng, 4, 10, 24)
    stream = depth + rough * np.clip(12 * depth, 0, 1)
    tone = 0.40 + 0.3 * np.sin(70 * stream) + 0.3 * _bump(depth / 0.012)
    warmth = 0.1 + 0.38 * _bump((u - DISCS[0][0]) / 0.2)
    return Region(depth > 0, stream, tone, warmth, palette, 0.8)


def _field(plane: Plane, rng: Generator) -> Region:
    x, y, w, h = plane
    dx, dy = x - 0.30 * w, y - 0.62 * h
    furrows = np.arctan2(dx, dy) + 0.22 * np.sin(9 * np.hypot(dx, dy) + 1)
    stream = 0.35 * furrows + 0.12 * _waves(plane, rng, 5, 14, 30)
    tone = 0.46 + 0.30 * np.sin(75 * stream)
    warmth = 0.50 + 0.27 * np.sin(75 * stream + 2.4)
    inside = y > h * (0.78 + 0.02 * np.sin(2 * np.pi * x / w + 1))
    return Region(inside, stream, tone, warmth, _palette(DUSK, WHEAT, EMBER), 0.85)


def _river(plane: Plane) -> Region:
    near = (plane.y / plane.h - 0.775) / 0.245
    t = np.clip(near, 0, 1.3)
    center = plane.w * (0.34 + 0.17 * t + 0.07 * np.sin(6.5 * t))
    across = (plane.x - center) / (0.012 + 0.10 * t**1.4)
    tone = 0.5 + 0.3 * np.sin(5 * across + 5 * np.sin(4 * t))
    warmth = 0.9 * _bump((across + 0.2) / 0.35) * (1 - 0.7 * t)
    inside = (np.abs(across) < 1) & (near > 0.02)
    return Region(inside, 0.05 * across, tone, warmth, _palette(NIGHT, EMBER), 0.75)


def _flame(plane: Plane, u: float, top: float, width: float, lean: float) -> Region:
    below = (plane.y / plane.h - top) / (1.04 - top)
    t = np.clip(below, 0.0005, 1)
    sway = lean * (1 - t) ** 2 + 0.022 * np.sin(8 * below + 20 * u)
    half_width = width * t**0.8 * (1.3 - 0.6 * t**2)
    across = (plane.x - plane.w * u - sway) / half_width
    stream = 0.06 * (across + 0.25 * np.sin(13 * below + 2 * across))
    tone = 0.33 + 0.27 * np.sin(80 * stream) - 0.05 * across
    warmth = np.clip(-0.2 - 0.5 * across, 0, 0.3)
    inside = (np.abs(across) < 1) & (below > 0)
    return Region(inside, stream, tone, warmth, _palette(BARK, EMBER), 0.75)


def _scene(w: float, h: float, rng: Generator) -> Iterator[Region]:
    """The regions, far to near."""
    rows, cols = (np.arange(-MARGIN, side + MARGIN, GRID_STEP) for side in (h, w))
    x, y = np.meshgrid(cols, rows)
    plane = Plane(x, y, w, h)
    yield _sky(plane, rng)
    yield _hill(plane, rng, 0.62, _palette(RANGE, DUSK))
    yield _hill(plane, rng, 0.70, _palette(GROVE, WHEAT))
    yield _field(plane, rng)
    yield _river(plane)
    for flame in TREE:
        yield _flame(plane, *flame)


def _sample(grid: Floats, points: Floats) -> Floats:
    """Values of a map ``[rows, cols]`` at ``[n, 2]`` points, x first; ``[n]``."""
    at = (points.T[::-1] + MARGIN) / GRID_STEP
    return ndimage.map_coordinates(grid, at, order=1, mode="nearest")


def _walk(flow: tuple[Floats, Floats], seeds: Floats, steps: Floats) -> list[Floats]:
    """Positions ``[n, 2]`` along the flow by the midpoint rule, the seeds first."""

    def heading(at: Floats) -> Floats:
        v = np.stack([_sample(component, at) for component in flow], -1)
        return v / (np.linalg.norm(v, axis=-1, keepdims=True) + 1e-6)

    path = [seeds]
    for _ in range(STEPS):
        middle = path[-1] + 0.5 * steps * heading(path[-1])
        path.append(path[-1] + steps * heading(middle))
    return path


def _plan(
    region: Region, brush: tuple[float, ...], w: float, h: float, rng: Generator
) -> Strokes:
    """Chooses where one brush's strokes run in a region, and their paint."""
    length, width, coverage, light = brush
    length, width = length * region.scale, width * region.scale
    sides = np.array([w, h]) + 2 * MARGIN
    count = round(coverage * sides.prod() / (length * width))
    # Roberts' R2 sequence: as irregular as chance to the eye, but without holes.
    lattice = np.arange(count)[:, None] * [0.7548776662, 0.5698402910] % 1
    seeds = rng.permutation(lattice) * sides - MARGIN
    seeds = seeds[_sample(region.inside.astype(float), seeds) > 0.5]
    n = len(seeds)

    slope_y, slope_x = np.gradient(region.stream)
    angle = np.arctan2(-slope_x, slope_y) + region.spiral
    flow = np.cos(angle), np.sin(angle)
    steps = length / (2 * STEPS) * rng.uniform(0.7, 1.25, (n, 1))
    path = _walk(flow, seeds, -steps)[:0:-1] + _walk(flow, seeds, steps)

    tone = _sample(region.tone, seeds) + light + rng.normal(0, 0.13, n)
    last = len(region.palette) - 1
    warmth = last * _sample(region.warmth, seeds) + rng.normal(0, 0.3, n)
    ramp = np.clip(np.rint(warmth), 0, last)[:, None]
    tones = np.stack([tone, tone + rng.normal(0, 0.10, n)], -1).clip(0, 1)
    at = np.broadcast_arrays(ramp, tones * (region.palette.shape[1] - 1))
    channels = np.moveaxis(region.palette, -1, 0)
    mixed = [ndimage.map_coordinates(channel, at, order=1) for channel in channels]
    colors = np.stack(mixed, -1) + rng.normal(0, 0.025, (n, 1, 3))
    widths = width * rng.uniform(0.75, 1.25, n)
    return Strokes(np.stack(path, 1), widths, colors, rng.uniform(size=(n, BRISTLES)))


def _between(values: Floats, at: Floats) -> Floats:
    """Linear interpolation on axis 1 of ``values`` at fractional indices ``at``."""
    low = np.minimum(at.astype(np.intp), values.shape[1] - 2)
    part = (at - low).reshape(-1, *[1] * (values.ndim - 2))
    return values[:, low] * (1 - part) + values[:, low + 1] * part


def _lay(
    canvas: Floats, relief: Floats, strokes: Strokes, along: Floats, across: Floats
) -> None:
    """Lays strokes on canvas ``[rows, cols, 3]`` and relief ``[rows, cols]``, in order.

    Each stroke is a sheet of samples, ``along`` it in 0..1 and ``across`` it in -1..1.
    """
    rows, cols = relief.shape
    side = max(rows, cols)
    center = _between(strokes.path, along * 2 * STEPS) * side
    # Tangents are smoothed too: at a polyline's corners its normals would leave gaps.
    tangent = _between(np.gradient(strokes.path, axis=1), along * 2 * STEPS)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-9
    taper = np.minimum(1, along / 0.12) ** 0.5
    taper *= np.minimum(1, (1 - along) / 0.55) ** 0.6
    offset = (0.5 * side * strokes.width[:, None] * taper)[..., None] * across
    col = np.floor(center[..., :1] - tangent[..., 1:] * offset).astype(np.intp)
    row = np.floor(center[..., 1:] + tangent[..., :1] * offset).astype(np.intp)

    streak = _between(strokes.bristles, (across + 1) / 2 * (BRISTLES - 1))
    dryness = 0.75 * np.clip((along - 0.55) / 0.45, 0, 1)
    painted = streak[:, None, :] >= dryness[:, None]
    painted &= (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    # Assigning to repeated indices leaves the winner open; a maximum does not.
    top = np.full(rows * cols, -1)
    np.maximum.at(top, row[painted] * cols + col[painted], np.flatnonzero(painted))
    pixels = np.flatnonzero(top >= 0)
    stroke, a, c = np.unravel_index(top[pixels], painted.shape)

    hair = streak[stroke, c]
    blend = np.clip(0.05 + 0.9 * hair + 0.35 * across[c], 0, 1)[:, None]
    color = strokes.colors[stroke, 0] * (1 - blend) + strokes.colors[stroke, 1] * blend
    canvas.reshape(-1, 3)[pixels] = color * (0.9 + 0.2 * hair[:, None])
    ridge = np.sqrt(1 - 0.9 * across[c] ** 2) * (0.6 + 0.6 * hair)
    relief.reshape(-1)[pixels] = ridge * (1 - 0.4 * along[a])


def _lay_all(canvas: Floats, relief: Floats, strokes: Strokes) -> None:
    density = SAMPLES_PER_PIXEL * max(relief.shape)
    lengths = np.linalg.norm(np.diff(strokes.path, axis=1), axis=-1).sum(1)
    along = np.linspace(0, 1, int(lengths.max(initial=0) * density) + 2)
    across = np.linspace(-1, 1, int(strokes.width.max(initial=0) * density) + 3)
    batch = max(1, BATCH_SAMPLES // (len(along) * len(across)))
    for first in range(0, len(lengths), batch):
        part = Strokes(*(values[first : first + batch] for values in strokes))
        _lay(canvas, relief, part, along, across)


def paint(height: int = 512, width: int = 640, seed: int = 0) -> NDArray[np.float32]:
    """Paints the style picture: the same composition at every size, sRGB in 0..1.

    The seed chooses the strokes, the hills' shapes and the sky's small currents.
    """
    scene_rng, stroke_rng = np.random.default_rng(seed).spawn(2)
    w, h = np.array([width, height]) / max(height, width)
    relief = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.float32)
    canvas = np.zeros((*relief.shape, 3), np.float32)
    for region in _scene(w, h, scene_rng):
        for brush in BRUSHES:
            _lay_all(canvas, relief, _plan(region, brush, w, h, stroke_rng))
    # The pinholes that sharply bent strokes leave get the nearest paint.
    rows, cols = ndimage.distance_transform_edt(
        relief == 0, return_distances=False, return_indices=True
    )
    # Light from the upper left: thick paint casts small shadows.
    scale = max(relief.shape) / 640
    slopes = np.gradient(ndimage.gaussian_filter(relief, 0.6 * scale))
    facing = (-scale * (slopes[0] + slopes[1]))[..., None]
    shine = 0.25 * np.clip(facing - 0.25, 0, 0.5)
    lit = canvas[rows, cols] * (1 + np.clip(0.8 * facing, -0.45, 0.4)) + shine
    blocks = lit.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3)
    return np.clip(blocks.mean((1, 3)), 0, 1).astype(np.float32)
