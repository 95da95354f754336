"""Neural style transfer in JAX.

Images become features, features become statistics, statistics become a loss, and an
optimizer lowers it.
"""

import nstjax.interrupts  # noqa: F401 - a command heeds signals from here on

# isort: split
from nstjax.errors import InputError
from nstjax.gram_loss import style_loss
from nstjax.guidance import read_controls
from nstjax.initial_image import blend_noise, sample_noise
from nstjax.io.images import read_image, write_image
from nstjax.io.weights import load_params, save_params
from nstjax.losses import (
    LossTerms,
    Region,
    Targets,
    Weights,
    content_loss,
    style_statistics,
    total_loss,
)
from nstjax.montage import contact_sheet, montage
from nstjax.optimizers import make_optimizer, with_learning_rate
from nstjax.pictures import finish
from nstjax.preset import Preset, customize
from nstjax.presets import PRESETS, get_preset
from nstjax.problem import Problem, make_weights, prepare
from nstjax.sizes import Size, parse_size, resize
from nstjax.statistics import gram_matrix, moments
from nstjax.steps import NonFiniteLossError, compile_steps, run
from nstjax.style_losses import (
    StyleForm,
    blend_styles,
    describe_style,
    style_distance,
    style_target,
)
from nstjax.stylize import Losses, Result, stylize
from nstjax.targets import Controls
from nstjax.total_variation import total_variation
from nstjax.transfer import StyleTransfer, TransferInfo, TransferState, style_transfer
from nstjax.transfer_loss import loss_structure
from nstjax.vgg import Params, deprocess, features, preprocess, summarize

__all__ = [
    "PRESETS",
    "Controls",
    "InputError",
    "LossTerms",
    "Losses",
    "NonFiniteLossError",
    "Params",
    "Preset",
    "Problem",
    "Region",
    "Result",
    "Size",
    "StyleForm",
    "StyleTransfer",
    "Targets",
    "TransferInfo",
    "TransferState",
    "Weights",
    "blend_noise",
    "blend_styles",
    "compile_steps",
    "contact_sheet",
    "content_loss",
    "customize",
    "deprocess",
    "describe_style",
    "features",
    "finish",
    "get_preset",
    "gram_matrix",
    "load_params",
    "loss_structure",
    "make_optimizer",
    "make_weights",
    "moments",
    "montage",
    "parse_size",
    "prepare",
    "preprocess",
    "read_controls",
    "read_image",
    "resize",
    "run",
    "sample_noise",
    "save_params",
    "style_distance",
    "style_loss",
    "style_statistics",
    "style_target",
    "style_transfer",
    "stylize",
    "summarize",
    "total_loss",
    "total_variation",
    "with_learning_rate",
    "write_image",
]
