"""Networks that are trained once and then restyle any picture in one pass.

Structure: ``architecture`` (plain data), ``convolution``, ``normalization``,
``networks``, ``adain``, ``style_rows``. Training: ``presets``, ``data``, ``objective``,
``discriminator``, ``adversary``, ``training`` (pure), ``training_request``,
``training_setup``, ``training_log``, ``training_run`` (a run on disk). Use:
``restyle``, ``tiles`` and ``tiling``, ``looks``, ``contents``, ``fast_request``,
``restyle_files``, ``export``.
"""
