"""One more style changes nothing but the tables of γ and β."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from feedforward_networks import random_network
from flax import nnx
from restyle_models import PAINTERLY

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import AdaINArchitecture
from nstjax.feedforward.networks.model_file import network_tensors
from nstjax.feedforward.networks.style_rows import (
    network_for_new_style,
    with_style_added,
)


def tensors(network):
    """{path: array}, the tables apart from all else."""
    flat = network_tensors(network)
    names = [name for name in flat if name.endswith(("gamma", "beta"))]
    return {name: flat.pop(name) for name in names}, flat


@pytest.fixture
def network():
    return random_network(PAINTERLY)


@pytest.fixture
def trained(network):
    """A network for a new style whose tables have been trained."""
    new, random = network_for_new_style(network), np.random.default_rng(7)
    for path, variable in nnx.to_flat_state(nnx.state(new)):
        if path[-1] in ("gamma", "beta"):
            values = random.normal(size=variable.shape)
            variable.set_value(jax.device_put(np.float32(values)))
    return new


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for path, tensor in expected.items():
        np.testing.assert_array_equal(found[path], tensor)


def test_a_new_style_starts_from_the_mean_of_the_others(network):
    new = network_for_new_style(network)
    assert new.architecture == dataclasses.replace(PAINTERLY, styles=1)
    (tables, rest), (before, rest_before) = tensors(new), tensors(network)
    assert_same(rest, rest_before)
    # γ and β of eight convolutions, the last included.
    assert len(tables) == 16
    for path, table in before.items():
        np.testing.assert_allclose(tables[path], table.mean(0)[None], rtol=1e-6)


def test_an_added_style_leaves_all_else_as_it_was(network, trained):
    before, rest_before = tensors(network)
    added = with_style_added(network, trained)
    tables, rest = tensors(added)
    assert added.architecture == dataclasses.replace(PAINTERLY, styles=4)
    assert_same(rest, rest_before)
    new, _ = tensors(trained)
    expected = {path: np.concatenate([before[path], new[path]]) for path in before}
    assert_same(tables, expected)


def test_what_becomes_of_the_new_network_does_not_reach_the_old(network, trained):
    before = tensors(network)
    added = with_style_added(network, trained)
    for _, variable in nnx.to_flat_state(nnx.state(added)):
        variable.set_value(jnp.asarray(0 * np.asarray(variable[...])))
    for found, expected in zip(tensors(network), before, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize(
    "architecture",
    [
        dataclasses.replace(PAINTERLY, normalization="instance", styles=1),
        dataclasses.replace(PAINTERLY, normalization="batch", styles=1),
        AdaINArchitecture(encoder_channels=8, channels=(6, 5, 4)),
    ],
)
def test_a_network_without_tables_of_styles_takes_no_other(architecture, network):
    other = random_network(architecture)
    words = "only a network with conditional instance normalization takes another style"
    for call in (
        lambda: network_for_new_style(other),
        lambda: with_style_added(other, network),
        lambda: with_style_added(network, other),
    ):
        with pytest.raises(InputError, match=words):
            call()


def test_a_style_of_another_architecture_or_beyond_the_most_is_not_added(trained):
    for change, words in (
        ({"width": 2.0}, "make it with network_for_new_style"),
        ({"styles": 256}, r"styles must lie in 1\.\.256, got 257"),
    ):
        other = random_network(dataclasses.replace(PAINTERLY, **change))
        with pytest.raises(InputError, match=words):
            with_style_added(other, trained)
