"""Which network params are of."""

import pytest

from nstjax.network.architecture import ARCHITECTURES, VGG16, VGG19, architecture_of


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_params_tell_their_network(architecture):
    assert architecture_of(architecture.convolutions) == architecture
    # What is no layer is refused elsewhere.
    assert architecture_of((*architecture.convolutions, "fc6")) == architecture


def test_params_may_end_early():
    assert architecture_of(VGG16.convolutions[:8]) == VGG16
    for count in range(8):
        assert architecture_of(VGG16.convolutions[:count]) == VGG19
