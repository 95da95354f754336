"""What researchers ask of a loss: sweeps, surfaces, convexity, and their plots.

Sweeps: ``settings`` and ``settings_input`` are the numbers that may differ, ``lanes``
the runs side by side, ``sweep`` their compiled program, ``sweep_memory`` how many fit,
``sweep_run`` the whole sweep in chunks; ``sweep_results``, ``sweep_plots``,
``sweep_sheet``, ``sweep_axes`` and ``pareto`` show it.

Surfaces: ``surface`` is the losses on a plane, ``planes`` and ``directions`` the
planes, ``surface_request`` what somebody asks for, ``saved_surface`` the file of a run
that is filled, ``weights_surface`` a sweep's losses over its settings;
``surface_panels``, ``surface_plots``, ``line_plot``, ``surface_html`` and
``figure_parts`` show it.

Convexity: ``convexity`` and ``curvature`` are the tests, ``loss_terms`` what they are
put to, ``convexity_study`` and ``convexity_table`` a run's results. ``figures`` writes.
"""
