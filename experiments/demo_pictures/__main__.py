"""Draw the style pictures that nstjax brings.

    python -m experiments.demo_pictures

writes painting.jpg and stained_glass.jpg to ``nstjax/pictures``.
"""

from experiments.demo_pictures.painting import paint
from experiments.demo_pictures.stained_glass import stained_glass
from nstjax.io.demo import PICTURES
from nstjax.io.images import write_image

if __name__ == "__main__":
    write_image(PICTURES / "painting.jpg", paint())
    write_image(PICTURES / "stained_glass.jpg", stained_glass())
