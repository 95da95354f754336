"""Programs that measure nstjax; not part of the package."""

import nstjax  # noqa: F401 - it heeds signals while the rest is imported
