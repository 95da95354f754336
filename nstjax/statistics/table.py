"""The style statistics by name. Another one is a file beside this, and a line here."""

from nstjax.statistics.gram import Gram
from nstjax.statistics.mmd import (
    FullGaussianMmd,
    GaussianMmd,
    LinearMmd,
    PolynomialMmd,
)
from nstjax.statistics.moments import ChannelMoments
from nstjax.statistics.sliced import Histogram, SlicedWasserstein
from nstjax.statistics.statistic import Statistic
from nstjax.statistics.wasserstein import Wasserstein2

STATISTICS: dict[str, Statistic] = {
    "gram": Gram(),
    "moments": ChannelMoments(),
    "mmd-linear": LinearMmd(),
    "mmd-poly": PolynomialMmd(),
    "mmd-gaussian": GaussianMmd(),
    "mmd-gaussian-full": FullGaussianMmd(),
    "wasserstein2": Wasserstein2(),
    "sliced": SlicedWasserstein(),
    "histogram": Histogram(),
}
