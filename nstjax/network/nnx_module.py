"""The network as a Flax NNX module, for those whose other models are modules."""

from collections.abc import Sequence

from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from nstjax.network.architecture import PoolPadding, architecture_of
from nstjax.network.vgg import Params, Pool, features


class VGG19(nnx.Module):
    """``nstjax.features`` over the kernels of ``nnx.Conv`` layers.

    The layers are attributes by name: ``module.conv4_2.kernel``.
    """

    def __init__(
        self, params: Params, *, pool: Pool = "avg", pool_padding: PoolPadding = "valid"
    ):
        self.pool = pool
        self.pool_padding = pool_padding
        self.names = architecture_of(params).convolutions
        for name in self.names:
            kernel, bias = params[name]["kernel"], params[name]["bias"]
            layer = nnx.Conv(
                kernel.shape[2],
                kernel.shape[3],
                (3, 3),
                kernel_init=lambda *_, kernel=kernel: kernel,
                bias_init=lambda *_, bias=bias: bias,
                rngs=nnx.Rngs(0),
            )
            setattr(self, name, layer)

    def __call__(self, image: ArrayLike, layers: Sequence[str]) -> dict[str, Array]:
        """Activations of the named layers: see ``nstjax.features``."""
        return features(
            self.params(),
            image,
            layers,
            pool=self.pool,
            pool_padding=self.pool_padding,
        )

    def params(self) -> Params:
        """The params pytree that ``nstjax``'s functions take."""
        layers = {name: getattr(self, name) for name in self.names}
        return {
            name: {"kernel": layer.kernel[...], "bias": layer.bias[...]}
            for name, layer in layers.items()
        }
