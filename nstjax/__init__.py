"""Neural style transfer in JAX.

Images become features, features become statistics, statistics become a loss, and an
optimizer lowers it.
"""

from nstjax.errors import InputError
from nstjax.initial_image import blend_noise, sample_noise
from nstjax.io.images import read_image, write_image
from nstjax.io.weights import load_params, save_params
from nstjax.losses import (
    LossTerms,
    Targets,
    Weights,
    blend_styles,
    content_loss,
    style_grams,
    style_loss,
    total_loss,
    total_variation,
)
from nstjax.montage import contact_sheet, montage
from nstjax.optimizers import make_optimizer, with_learning_rate
from nstjax.presets import PRESETS, Preset, customize, get_preset
from nstjax.problem import Problem, finish, loss_structure, make_weights, prepare
from nstjax.sizes import Size, parse_size, resize
from nstjax.statistics import gram_matrix
from nstjax.stylize import Losses, Result, stylize
from nstjax.transfer import (
    NonFiniteLossError,
    StyleTransfer,
    TransferInfo,
    TransferState,
    compile_steps,
    run,
    style_transfer,
)
from nstjax.vgg import Params, deprocess, features, preprocess, summarize

__all__ = [
    "PRESETS",
    "InputError",
    "LossTerms",
    "Losses",
    "NonFiniteLossError",
    "Params",
    "Preset",
    "Problem",
    "Result",
    "Size",
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
    "features",
    "finish",
    "get_preset",
    "gram_matrix",
    "load_params",
    "loss_structure",
    "make_optimizer",
    "make_weights",
    "montage",
    "parse_size",
    "prepare",
    "preprocess",
    "read_image",
    "resize",
    "run",
    "sample_noise",
    "save_params",
    "style_grams",
    "style_loss",
    "style_transfer",
    "stylize",
    "summarize",
    "total_loss",
    "total_variation",
    "with_learning_rate",
    "write_image",
]
