"""The published settings by name, as plain data.

A preset fixes everything that decides the picture. ``docs/presets.md`` tells where each
number comes from and which quirks of the published code are, or are not, reproduced.
"""

from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.presets.preset import Preset
from nstjax.presets.settings import new_preset, with_settings

CONV_STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CROWSON_LAYER_WEIGHTS = tuple(weight / 341 for weight in (256, 64, 16, 4, 1))

GATYS_CODE = new_preset(
    "leongatys/PytorchNeuralStyleTransfer",
    style_normalization="mean_per_c2",
    alpha=1.0,
    beta=1e3,
    size=Size("short", 512),
)
# Gatys' second notebooks: a photo of 512² pixels, and 1024² from its result.
GATYS_2017 = with_settings(GATYS_CODE, size=Size("area", 512), pyramid_min_size=512)
CROWSON_2023 = new_preset(
    "crowsonkb/style-transfer-pytorch, 2023",
    image_padding="replicate",
    style_layer_weights=CROWSON_LAYER_WEIGHTS,
    style_loss="wasserstein2",
    style_normalization="unscaled",
    tv_form="nine_point",
    alpha=0.015,
    beta=1.0,
    tv=2.0,
    optimizer="adam",
    adam_learning_rate=5.1,
    adam_betas=(0.9, 0.99),
    steps=1000,
    clamp=True,
    style_upscale=False,
    resample="bicubic",
    pyramid="sqrt2",
    pyramid_min_size=128,
    pyramid_steps=(500,),
    keep="average",
)

PRESETS: dict[str, Preset] = {
    "gatys2016": new_preset(
        "Gatys, Ecker and Bethge, CVPR 2016",
        pool="avg",
        content_normalization="half_sum",
        style_normalization="quarter_mean",
        style_layer_weights=(0.2,) * 5,
        alpha=1e-5,
        beta=1.0,
    ),
    "gatys-code": GATYS_CODE,
    "johnson2015": new_preset(
        "jcjohnson/neural-style",
        pool_padding="same",
        gram_normalization="chw",
        alpha=5.0,
        beta=100.0,
        tv=1e-3,
        init="noise",
        noise_scale=1e-3,
        adam_learning_rate=10.0,
        steps=1000,
    ),
    "neural-style-pt": new_preset(
        "ProGamerGov/neural-style-pt",
        gram_normalization="chw",
        tv_form="l1",
        alpha=5.0,
        beta=100.0,
        tv=1e-3,
        init="noise",
        noise_scale=1e-3,
        adam_learning_rate=1.0,
        steps=1000,
    ),
    "athalye": new_preset(
        "anishathalye/neural-style",
        pool_padding="same",
        gram_normalization="chw",
        style_layer_weights=(0.2,) * 5,
        tv_form="mean_squared",
        alpha=5.0,
        beta=500.0,
        tv=100.0,
        init="noise",
        noise_scale=0.256,
        optimizer="adam",
        adam_learning_rate=10.0,
        steps=1000,
        size=Size("width", 512),
        style_size="content_width",
    ),
    "coursera": new_preset(
        "Coursera course 'Convolutional Neural Networks', style transfer",
        pool="avg",
        pool_padding="same",
        content_normalization="quarter_mean",
        gram_normalization="none",
        style_normalization="quarter_mean_per_hw2",
        style_layer_weights=(0.2,) * 5,
        alpha=10.0,
        beta=40.0,
        init="blend",
        noise="uniform",
        noise_scale=20.0,
        noise_ratio=0.6,
        optimizer="adam",
        steps=200,
        size=Size("exact", (300, 400)),
        style_size="content",
    ),
    "matlab": new_preset(
        "MATLAB Deep Learning Toolbox example, neural style transfer",
        pool="avg",
        content_layers=("conv4_2",),
        style_layers=CONV_STYLE_LAYERS,
        style_layer_weights=(0.5, 1.0, 1.5, 3.0, 4.0),
        content_normalization="half_mean",
        gram_normalization="none",
        style_normalization="mean_per_hwc2",
        alpha=1.0,
        beta=1e3,
        init="blend",
        noise="integers",
        noise_scale=20.0,
        noise_ratio=0.7,
        optimizer="adam",
        steps=2500,
        size=Size("exact", (384, 512)),
        style_size="content",
        resample="bicubic",
        contrast_stretch=True,
        keep="best",
        resize_to_content=True,
        montage=True,
    ),
    "gatys2017-color": with_settings(
        GATYS_2017,
        source="Gatys et al., CVPR 2017: luminance only",
        color="luminance",
        luminance_match="mean",
    ),
    "gatys2017-spatial": with_settings(
        GATYS_2017,
        source="Gatys et al., CVPR 2017: regions",
        guide_mode="inside",
        guide_dilation=3,
    ),
    "gatys2017-scale": with_settings(
        GATYS_2017,
        source="Gatys et al., CVPR 2017: fine and coarse styles",
        color="match",
    ),
    "crowson2021": with_settings(
        CROWSON_2023,
        source="crowsonkb/style-transfer-pytorch, 2021",
        content_normalization="scaled",
        style_loss="gram",
        style_normalization="scaled",
        tv_form="mean_squared_replicate",
        alpha=3.825,
        adam_betas=(0.9, 0.999),
        resample="lanczos",
    ),
    "crowson2023": CROWSON_2023,
    "quick": with_settings(
        GATYS_CODE,
        source="nstjax: a few steps from the picture of nstjax-fast",
        size=Size("long", 512),
        init="fast",
        steps=15,
        lbfgs_num_correction=10,
        pyramid_steps=(10,),
    ),
}
DEFAULT_PRESET = "gatys2016"


def get_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
      InputError: unknown name.
    """
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}: known are {', '.join(PRESETS)}")
    return PRESETS[name]
