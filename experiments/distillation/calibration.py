"""Making a narrow network's losses as large as VGG-19's."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.network.layer_scales import scale_layers
from nstjax.network.vgg import CONV_LAYERS, Params, features, preprocess
from nstjax.statistics.gram import gram_matrix

# All presets match content here, and style elsewhere.
CONTENT_LAYER = "conv4_2"


def calibrate(
    params: Params,
    teacher: Params,
    contents: np.ndarray,
    styles: np.ndarray,
    results: np.ndarray,
) -> Params:
    """Scale each layer so that its losses are VGG-19's in the geometric mean.

    A network that cannot follow all of VGG-19's kernel is trained to follow it timidly:
    its activations differ less between pictures. Style losses of photos against
    paintings grow with the fourth power of a layer's factor, content losses of results
    against photos with the second.

    Args:
      params: the narrow network, in VGG-19's units.
      teacher: VGG-19's params.
      contents: photos, sRGB [pictures, size, size, 3].
      styles: paintings, likewise.
      results: pictures on the way from each photo to its painting, likewise.

    Returns:
      The network with scaled layers.
    """
    ratios = [
        jax.tree.map(
            lambda own, wanted: float(jnp.log(own / wanted)),
            *(_losses(network, *pictures) for network in (params, teacher)),
        )
        for pictures in zip(contents, styles, results, strict=True)
    ]
    means = jax.tree.map(lambda *logs: float(np.mean(logs)), *ratios)
    return scale_layers(
        params,
        {
            layer: np.exp(-means[layer] / (2 if layer == CONTENT_LAYER else 4))
            for layer in CONV_LAYERS
        },
    )


@jax.jit
def _losses(
    params: Params, content: Array, style: Array, result: Array
) -> dict[str, Array]:
    """Each layer's loss: of content where presets match content, of style elsewhere."""
    relus = [layer.replace("conv", "relu") for layer in CONV_LAYERS]
    of_content, of_style, of_result = (
        features(params, preprocess(picture), relus)
        for picture in (content, style, result)
    )
    return {
        layer: jnp.square(of_result[relu] - of_content[relu]).sum()
        if layer == CONTENT_LAYER
        else jnp.square(
            gram_matrix(of_content[relu]) - gram_matrix(of_style[relu])
        ).sum()
        for layer, relu in zip(CONV_LAYERS, relus, strict=True)
    }
