"""Every setting of a preset that is a flag, all of them at once."""

import os

from command_lines import PICTURES, good, metrics, settings

from nstjax.commands.preset_flags import SETTINGS

VALUES = {
    "size": "exact:48x36",
    "steps": 2,
    "alpha": 3.0,
    "beta": 20000.0,
    "tv": 0.5,
    "content_layers": ["relu1_1", "relu1_2"],
    "content_layer_weights": [1.0, 2.0],
    "style_layers": ["conv1_1", "relu1_2"],
    "style_layer_weights": [0.5, 0.25],
    "style_loss": "moments",
    "tv_form": "l1",
    "normalize_gradients": True,
    "pool": "avg",
    "pool_padding": "same",
    "image_padding": "replicate",
    "precision": "mixed",
    "init": "blend",
    "noise_ratio": 0.25,
    "optimizer": "adam",
    "learning_rate": 3.0,
    "lbfgs_num_correction": 7,
    "adam_betas": [0.8, 0.99],
    "clamp": True,
    "style_scale": 0.75,
    "color": "luminance",
    "color_when": "after",
    "color_space": "lab",
    "color_match": "symmetric",
    "luminance_match": "mean",
    "guide_mode": "inside",
    "guide_dilation": -1,
    "fine_layers": ["conv1_1"],
    "fine_layers_refined": ["conv1_1", "relu1_2"],
    "pyramid": "2",
    "pyramid_steps": [2, 3],
    "pyramid_min_size": 24,
    "pyramid_moments": "reset",
    "keep": "average",
    "average_decay": 0.5,
    "montage": True,
}


def flag(name, value):
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"--{name}={text.removeprefix('exact:')}"


def test_every_setting_is_a_flag(studio, command):
    assert VALUES.keys() == SETTINGS.keys()
    flags = [flag(name, value) for name, value in VALUES.items()]
    good(command, *PICTURES, *flags, "--workdir=run", "--quiet")
    found = settings("run")
    expected = VALUES | {"size": ["exact", [36, 48]]}
    # A montage is one of the pictures, and nothing that decides them.
    del expected["montage"]
    assert os.path.exists("run/stylized_montage.png")
    assert {name: found[name] for name in expected} == expected
    assert len(metrics("run")) == 5
