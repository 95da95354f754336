"""Programs that measure nstjax; not part of the package."""
