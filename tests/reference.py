"""The published formulas in NumPy and float64, for the package to be tested against.

Nothing here comes from nstjax or JAX: each function is written from the paper or from
what the program in question computes, so that an error would have to be made twice.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

CONVOLUTIONS = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4}
CHANNELS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
MEAN_RGB = np.array([123.68, 116.779, 103.939])
RELUS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONVS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


def random_params(seed=0, channels=(4, 5, 6, 7, 8), blocks=5):
    """A narrow VGG-19 whose activations keep about the size of its input."""
    rng = np.random.default_rng(seed)
    params, channels_in = {}, 3
    for block in range(1, blocks + 1):
        for index in range(1, CONVOLUTIONS[block] + 1):
            channels_out = channels[block - 1]
            kernel = rng.normal(size=(3, 3, channels_in, channels_out))
            params[f"conv{block}_{index}"] = {
                "kernel": kernel * np.sqrt(2 / (9 * channels_in)),
                "bias": 5 * rng.normal(size=channels_out),
            }
            channels_in = channels_out
    return params


def random_image(seed, height, width):
    """A picture of noise in the network's units: 0..255 minus the mean."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, (height, width, 3)) - MEAN_RGB


def half_guide(height, width):
    """A guide T of the left half of the columns (rounded down), with mean(T²) = 1."""
    T = np.zeros((height, width))
    T[:, : width // 2] = np.sqrt(width / (width // 2))
    return T


def convolve(activation, kernel, bias, padding="constant"):
    """3×3, stride 1, padding 1 (zeros unless told): the sum over the nine taps."""
    height, width, _ = activation.shape
    padded = np.pad(activation, ((1, 1), (1, 1), (0, 0)), padding)
    output = np.tile(bias, (height, width, 1)).astype(np.float64)
    for row in range(3):
        for column in range(3):
            window = padded[row : row + height, column : column + width]
            output += window @ kernel[row, column]
    return output


def pool(activation, how, padding):
    """2×2, stride 2, over the real pixels of each window."""
    height, width, channels = activation.shape
    rounded = {"valid": np.floor, "same": np.ceil}[padding]
    rows, columns = int(rounded(height / 2)), int(rounded(width / 2))
    reduce = {"avg": np.mean, "max": np.max}[how]
    output = np.empty((rows, columns, channels))
    for row in range(rows):
        for column in range(columns):
            # A slice ends at the border, so that an edge window holds real pixels only.
            window = activation[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            output[row, column] = reduce(window, axis=(0, 1))
    return output


def trunk(params, image, layers, how, padding, image_padding="constant"):
    """Activations of the named layers of VGG-19 (configuration E)."""
    activation, activations = image, {}
    for block, count in CONVOLUTIONS.items():
        for index in range(1, count + 1):
            name = f"{block}_{index}"
            border = image_padding if name == "1_1" else "constant"
            layer = params[f"conv{name}"]
            activation = convolve(activation, layer["kernel"], layer["bias"], border)
            activations[f"conv{name}"] = activation
            activation = np.maximum(activation, 0)
            activations[f"relu{name}"] = activation
            if set(layers) <= set(activations):
                return {name: activations[name] for name in layers}
        activation = pool(activation, how, padding)
        activations[f"pool{block}"] = activation
    return {name: activations[name] for name in layers}


def gram(activation):
    """S = F Fᵀ, not divided by anything."""
    return np.einsum("hwi,hwj->ij", activation, activation)


def positions(activation):
    """M, the size of each feature map."""
    return activation.shape[0] * activation.shape[1]


def steps_right_and_down(image):
    """Of the pixels that have both neighbors."""
    return np.diff(image, axis=1)[:-1], np.diff(image, axis=0)[:, :-1]


def johnson_tv(image):
    """Half the squared steps right and down, over pixels that have both neighbors."""
    dx, dy = steps_right_and_down(image)
    return np.sum(dx**2 + dy**2) / 2


def athalye_tv(image):
    """Mean squared step along each axis."""
    return np.mean(np.diff(image, axis=0) ** 2) + np.mean(np.diff(image, axis=1) ** 2)


def l1_tv(image):
    """Sum of the absolute steps (neural-style-pt)."""
    return np.abs(np.diff(image, axis=0)).sum() + np.abs(np.diff(image, axis=1)).sum()


def crowson2021_tv(image):
    """Mean of dx² + dy² over all pixels, the border's own values repeated past it."""
    dx, dy = steps_right_and_down(np.pad(image, ((0, 1), (0, 1), (0, 0)), "edge"))
    return np.mean(dx**2 + dy**2)


def nine_point_tv(image):
    """Crowson 2023, of the image with its border repeated once around it.

    2 (d_right/3 + d_below/3 + d_diagonal/12 + d_other/12): the first two are means over
    the image's pixels, the diagonals over all 2×2 squares of the larger image.
    """
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")
    dx, dy = steps_right_and_down(padded[1:, 1:])
    straight = np.mean(dx**2) + np.mean(dy**2)
    diagonal = np.mean((padded[1:, 1:] - padded[:-1, :-1]) ** 2)
    other = np.mean((padded[1:, :-1] - padded[:-1, 1:]) ** 2)
    return 2 * (straight / 3 + (diagonal + other) / 12)


def titu_tv(image):
    """Σ (dx² + dy²)^1.25 over pixels that have both neighbors."""
    dx, dy = steps_right_and_down(image)
    return np.sum((dx**2 + dy**2) ** 1.25)


def gatys_content(F, P):
    """Gatys et al. (2016), equation 1."""
    return 0.5 * np.sum((F - P) ** 2)


def mean_content(F, P):
    """Johnson, Athalye, neural-style-pt and Gatys' code."""
    return np.mean((F - P) ** 2)


def matlab_content(F, P):
    """``0.5 .* mean((F - P).^2, "all")``."""
    return 0.5 * np.mean((F - P) ** 2)


def coursera_content(F, P):
    """``1 / (4 n_H n_W n_C) Σ (a_C - a_G)²``."""
    n_H, n_W, n_C = F.shape
    return np.sum((F - P) ** 2) / (4 * n_H * n_W * n_C)


def relative_content(F, P):
    """Σ (F - P)² / Σ P²."""
    return ((F - P) ** 2).sum() / (P**2).sum()


def scaled_mse(x, target):
    """Crowson 2021, ``ScaledMSELoss``."""
    difference = x - target
    return np.sum(difference**2) / (np.sum(np.abs(difference)) + 1e-8)


def gatys_style(F, P):
    """Equation 4, each Gram over its own number of positions.

    With one size for both it is Σ (G - A)² / (4 N² M²).
    """
    N = F.shape[-1]
    return np.sum((gram(F) / positions(F) - gram(P) / positions(P)) ** 2) / (4 * N**2)


def gatys_code_style(F, P):
    """MSE of Grams over h·w, weighted by 1/C²."""
    C = F.shape[-1]
    return np.mean((gram(F) / positions(F) - gram(P) / positions(P)) ** 2) / C**2


def johnson_style(F, P):
    """MSE of Grams divided by the number of elements."""
    return np.mean((gram(F) / F.size - gram(P) / P.size) ** 2)


def coursera_style(F, P):
    """``1 / (4 n_C² (n_H n_W)²) Σ (G_S - G_G)²``."""
    n_H, n_W, n_C = F.shape
    return np.sum((gram(F) - gram(P)) ** 2) / (4 * n_C**2 * (n_H * n_W) ** 2)


def matlab_style(F, P):
    """``mean((G - A).^2, "all") / ((h*w*c)^2)``."""
    h, w, c = F.shape
    return np.mean((gram(F) - gram(P)) ** 2) / (h * w * c) ** 2


def relative_style(F, P):
    """√(|G - A|² / |A|² + 1e-8), Frobenius norms."""
    G, A = gram(F) / positions(F), gram(P) / positions(P)
    return np.hypot(np.linalg.norm(G - A) / np.linalg.norm(A), 1e-4)


def scaled_style(F, P):
    """Crowson 2021: scaled MSE of Grams over h·w."""
    return scaled_mse(gram(F) / positions(F), gram(P) / positions(P))


# Of Crowson's covariances: 1e-4 for images in 0..1, here for 0..255.
WASSERSTEIN_EPSILON = 1e-4 * 255**2


def mean_and_covariance(activation):
    """μ and C + εI of the channels."""
    F = activation.reshape(-1, activation.shape[-1])
    epsilon = WASSERSTEIN_EPSILON * np.eye(F.shape[-1])
    return F.mean(0), np.cov(F, rowvar=False, bias=True) + epsilon


def wasserstein_style(F, P):
    """Crowson 2023: W₂² of two Gaussians over the number of channels.

    |μ - μ_P|² + tr(C + C_P - 2 (C_P^½ C C_P^½)^½), with exact square roots.
    """
    channels = F.shape[-1]
    # Channels that are 0 in both pictures add nothing.
    used = np.any(F, (0, 1)) | np.any(P, (0, 1))
    mean, covariance = mean_and_covariance(F[..., used])
    target_mean, target = mean_and_covariance(P[..., used])
    eigenvalues, eigenvectors = np.linalg.eigh(target)
    root = eigenvectors * np.sqrt(eigenvalues) @ eigenvectors.T
    between = np.sqrt(np.linalg.eigvalsh(root @ covariance @ root))
    distance = np.sum((mean - target_mean) ** 2) - 2 * between.sum()
    return (distance + np.trace(covariance + target)) / channels


class Program(NamedTuple):
    """What one published program minimizes."""

    pool: str
    padding: str
    content_layer: str
    style_layers: tuple[str, ...]
    layer_weights: tuple[float, ...]
    content: Callable
    style: Callable
    tv: Callable
    alpha: float
    beta: float
    gamma: float
    image_padding: str = "constant"


ONES, FIFTHS = (1.0,) * 5, (1 / 5,) * 5
POWERS_OF_4 = (256 / 341, 64 / 341, 16 / 341, 4 / 341, 1 / 341)
GATYS_CODE = Program(
    *("max", "valid", "relu4_2", RELUS, ONES),
    *(mean_content, gatys_code_style, johnson_tv, 1, 1e3, 0),
)
PROGRAMS = {
    "gatys2016": Program(
        *("avg", "valid", "relu4_2", RELUS, FIFTHS),
        *(gatys_content, gatys_style, johnson_tv, 1e-5, 1, 0),
    ),
    "gatys-code": GATYS_CODE,
    "quick": GATYS_CODE,
    "gatys2017-color": GATYS_CODE,
    "gatys2017-spatial": GATYS_CODE,
    "gatys2017-scale": GATYS_CODE,
    "johnson2015": Program(
        *("max", "same", "relu4_2", RELUS, ONES),
        *(mean_content, johnson_style, johnson_tv, 5, 100, 1e-3),
    ),
    "neural-style-pt": Program(
        *("max", "valid", "relu4_2", RELUS, ONES),
        *(mean_content, johnson_style, l1_tv, 5, 100, 1e-3),
    ),
    "athalye": Program(
        *("max", "same", "relu4_2", RELUS, FIFTHS),
        *(mean_content, johnson_style, athalye_tv, 5, 500, 100),
    ),
    "coursera": Program(
        *("avg", "same", "relu4_2", RELUS, FIFTHS),
        *(coursera_content, coursera_style, johnson_tv, 10, 40, 0),
    ),
    "matlab": Program(
        *("avg", "valid", "conv4_2", CONVS, (0.5, 1.0, 1.5, 3.0, 4.0)),
        *(matlab_content, matlab_style, johnson_tv, 1, 1e3, 0),
    ),
    # Scaled MSE grows like what it compares: content like the pixels, 255 times as
    # large here as in 0..1, and Grams and total variation like their squares.
    "crowson2021": Program(
        *("max", "valid", "relu4_2", RELUS, POWERS_OF_4),
        *(scaled_mse, scaled_style, crowson2021_tv, 0.015 * 255, 1, 2, "edge"),
    ),
    "crowson2023": Program(
        *("max", "valid", "relu4_2", RELUS, POWERS_OF_4),
        *(mean_content, wasserstein_style, nine_point_tv, 0.015, 1, 2, "edge"),
    ),
}


class Terms(NamedTuple):
    """A total loss and its terms without alpha, beta and gamma."""

    total: float
    content: float
    style: float
    tv: float


def total_loss(name, params, image, content_image, style_image):
    """What the program of that name minimizes, from the three pictures.

    A narrower network is VGG-19 with channels that are 0.
    """
    program = PROGRAMS[name]
    layers = (program.content_layer, *program.style_layers)
    how = (program.pool, program.padding, program.image_padding)
    F, P, A = (
        widened(trunk(params, picture, layers, *how))
        for picture in (image, content_image, style_image)
    )
    content = program.content(F[program.content_layer], P[program.content_layer])
    style = sum(
        weight * program.style(F[layer], A[layer])
        for weight, layer in zip(
            program.layer_weights, program.style_layers, strict=True
        )
    )
    tv = program.tv(image)
    total = program.alpha * content + program.beta * style + program.gamma * tv
    return Terms(total, content, style, tv)


def widened(activations):
    """The activations with as many channels as VGG-19's, the new ones 0."""
    return {
        layer: np.pad(F, ((0, 0), (0, 0), (0, CHANNELS[int(layer[4])] - F.shape[-1])))
        for layer, F in activations.items()
    }
