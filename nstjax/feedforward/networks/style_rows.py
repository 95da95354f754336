"""Rows of the tables of γ and β: a network for one more style, and back."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import TransformArchitecture
from nstjax.feedforward.networks.networks import Network, TransformNet
from nstjax.feedforward.networks.normalization import StyleTable


def network_for_new_style(network: Network) -> TransformNet:
    """A network of one style with the same convolutions, to train γ and β of.

    It starts from the mean of the styles that are there.
    """
    return _with_tables(network, lambda table: table.mean(0, keepdims=True))


def with_style_added(network: Network, new: Network) -> TransformNet:
    """The network with the rows of ``new`` after its own; all else is its own."""
    styles = _conditional(network).styles
    if dataclasses.replace(_conditional(new), styles=styles) != network.architecture:
        raise InputError(
            "the new style's network has another architecture: make it with "
            "network_for_new_style"
        )
    rows = iter(jax.tree.leaves(nnx.state(new, StyleTable)))
    return _with_tables(network, lambda table: jnp.concatenate([table, next(rows)]))


def _with_tables(network: Network, change: Callable[[Array], Array]) -> TransformNet:
    conditional = _conditional(network)
    tables, rest = nnx.state(network, StyleTable, ...)
    tables = jax.tree.map(change, tables)
    styles = len(jax.tree.leaves(tables)[0])
    architecture = dataclasses.replace(conditional, styles=styles)
    abstract = nnx.eval_shape(lambda: TransformNet(architecture, rngs=nnx.Rngs(0)))
    # Copied, so that a change to one network's variables does not reach the other.
    return nnx.merge(nnx.graphdef(abstract), tables, rest, copy=True)


def _conditional(network: Network) -> TransformArchitecture:
    """The architecture of a network that has tables of styles, else ``InputError``."""
    architecture = network.architecture
    if getattr(architecture, "normalization", None) != "conditional":
        raise InputError(
            "only a network with conditional instance normalization takes another "
            "style: give a model that was trained with --preset=cin-dumoulin"
        )
    assert isinstance(architecture, TransformArchitecture)
    return architecture
