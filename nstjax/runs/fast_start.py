"""Where a run with ``--init=fast`` starts: the picture of ``nstjax-fast``."""

from collections.abc import Sequence

import numpy as np

from nstjax.images.resizing import Size, resize
from nstjax.presets.preset import Preset
from nstjax.problem.pyramid import plan_scales

LARGEST = Size("long", 512)


def fast_start(
    photo: np.ndarray,
    paintings: Sequence[np.ndarray],
    shares: Sequence[float] | None,
    preset: Preset,
) -> np.ndarray:
    """A photo in the style of paintings by the bundled network for any painting.

    All are sRGB in 0..1, [height, width, 3]; paintings are mixed by their shares, None
    for equal ones. The result has the size of the run's last scale, and is computed at
    512 pixels at most, as the first scale of a run that is large begins with no more.
    """
    # Flax takes a while to import.
    from nstjax.feedforward.inference.restyle import (
        make_restyler,
        mixture,
        normalized_shares,
    )
    from nstjax.feedforward.inference.style_specifications import (
        ARBITRARY,
        size_at_most,
    )
    from nstjax.feedforward.networks.model_file import bundled_model
    from nstjax.io.weights import load_network

    restyler = make_restyler(bundled_model(ARBITRARY), lambda: load_network("slim"))
    shares = normalized_shares(shares or [1.0] * len(paintings))
    styles = []
    for painting in paintings:
        size = size_at_most(painting.shape[0], painting.shape[1], LARGEST)
        styles.append(restyler.style_of(resize(painting, *size)))
    last = plan_scales((photo.shape[0], photo.shape[1]), preset)[-1]
    computed = size_at_most(last.height, last.width, LARGEST)
    (picture,) = restyler([resize(photo, *computed)], mixture(styles, shares))
    return resize(picture, last.height, last.width)
