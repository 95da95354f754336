"""``jax.jit`` with less memory and faster convolutions on CPUs."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp

from nstjax.runtime.memory import give_back_freed_memory

Function = TypeVar("Function", bound=Callable[..., Any])

CPU_COMPILER_OPTIONS = {
    # XLA:CPU's own order of operations looks for those that can run side by side, and
    # holds two thirds more memory; with few cores it is hardly faster.
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
    # Products only: the library's convolutions are slower than XLA's own, those with
    # large kernels, as of a filter's gradient, up to nine times.
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
}


@functools.cache
def cpu_compiler_options() -> dict[str, str] | None:
    """Options for ``jax.jit`` to save memory and time; None but on CPUs."""
    if jax.default_backend() != "cpu":
        return None
    known = {}
    for name, value in CPU_COMPILER_OPTIONS.items():
        # Another version of XLA may lack one.
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            jax.jit(jnp.negative, compiler_options={name: value})(1.0)
            known[name] = value
    return known or None


def compile_ahead(program: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Compile before the call, so that the compiler's memory is free by then.

    Does nothing with a function that is no ``jax.jit``, whose parts compile themselves.
    """
    if isinstance(program, jax.stages.Wrapped):
        give_back_freed_memory()
        program.lower(*arguments, **named).compile()
        give_back_freed_memory()


def memory_saving_jit(
    function: Function, *, ahead: bool = False, **options: Any
) -> Function:
    """``jax.jit`` with ``cpu_compiler_options``, which are asked for at the first call.

    ``ahead`` has ``compile_ahead`` for each call, for what is called a few times only.
    """

    @functools.cache
    def compiled() -> jax.stages.Wrapped:
        here = cpu_compiler_options()
        return jax.jit(function, compiler_options=here, **options)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        program = compiled()
        if ahead:
            compile_ahead(program, *arguments, **named)
        return program(*arguments, **named)

    return cast(Function, call)
