"""Making a narrow network's losses as large as VGG-19's."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.network.architecture import CONV_LAYERS
from nstjax.network.layer_scales import scale_layers
from nstjax.network.vgg import Params, features, preprocess
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
    (pictures on the way from each photo to its painting) against photos with the
    second. Pictures are sRGB [pictures, size, size, 3], params in VGG-19's units.
    """

    def logs(*pictures: Array) -> dict[str, float]:
        own, wanted = (_losses(network, *pictures) for network in (params, teacher))
        return {layer: float(jnp.log(own[layer] / wanted[layer])) for layer in own}

    found = [logs(*each) for each in zip(contents, styles, results, strict=True)]
    factors = {}
    for layer in CONV_LAYERS:
        mean = float(np.mean([logs[layer] for logs in found]))
        factors[layer] = np.exp(-mean / (2 if layer == CONTENT_LAYER else 4))
    return scale_layers(params, factors)


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
    losses = {}
    for layer, relu in zip(CONV_LAYERS, relus, strict=True):
        if layer == CONTENT_LAYER:
            error = of_result[relu] - of_content[relu]
        else:
            error = gram_matrix(of_content[relu]) - gram_matrix(of_style[relu])
        losses[layer] = jnp.square(error).sum()
    return losses
