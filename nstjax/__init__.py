"""Neural style transfer in JAX.

Images become features, features become statistics, statistics become a loss, and an
optimizer lowers it.
"""

import nstjax.runtime.interrupts  # noqa: F401 - a command heeds signals from here on

# isort: split
from nstjax.errors import InputError
from nstjax.images.contact_sheet import contact_sheet, montage
from nstjax.images.resizing import Size, parse_size, resize
from nstjax.io.images import read_image, write_image
from nstjax.io.weights import load_params, save_params
from nstjax.losses.content import content_loss
from nstjax.losses.terms import LossTerms, Region, Targets, Weights
from nstjax.losses.total import style_statistics, total_loss
from nstjax.losses.total_variation import total_variation
from nstjax.network.architecture import summarize
from nstjax.network.vgg import Params, deprocess, features, preprocess
from nstjax.optimization.optimizers import make_optimizer, with_learning_rate
from nstjax.optimization.steps import NonFiniteLossError, compile_steps, run
from nstjax.optimization.transfer import (
    StyleTransfer,
    TransferInfo,
    TransferState,
    style_transfer,
)
from nstjax.presets.preset import Preset
from nstjax.presets.published import PRESETS, get_preset
from nstjax.presets.settings import customize, loss_structure
from nstjax.problem.initial_image import blend_noise, sample_noise
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import Problem, make_weights, prepare
from nstjax.problem.targets import Controls
from nstjax.runs.controls import read_controls
from nstjax.runs.stylize import Losses, Result, stylize
from nstjax.statistics.gram import gram_matrix, style_loss
from nstjax.statistics.moments import moments
from nstjax.statistics.normalization import StyleForm
from nstjax.statistics.style import (
    blend_styles,
    describe_style,
    style_distance,
    style_target,
)

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
