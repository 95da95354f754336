import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nstjax.runtime import compilation
from nstjax.runtime.compilation import memory_saving_jit


@pytest.mark.parametrize("ahead", [False, True])
def test_each_shape_is_compiled_once(ahead, compilations):
    def scaled_sum(x, factor, *, power):
        return factor * jnp.sum(x**power)

    program = memory_saving_jit(scaled_sum, ahead=ahead, static_argnames="power")
    for size in (3, 4):
        x = jnp.arange(float(size))
        program(x, 2.0, power=3)
        before = len(compilations())
        for _ in range(3):
            expected = 2.0 * np.sum(np.arange(size) ** 3.0)
            np.testing.assert_allclose(program(x, 2.0, power=3), expected)
        assert len(compilations()) == before > 0


def test_the_compilers_memory_is_given_back_before_the_program_runs(monkeypatch):
    events = []

    def ran(x):
        events.append("ran")
        return x

    monkeypatch.setattr(
        compilation, "give_back_freed_memory", lambda: events.append("given back")
    )

    def traced(x):
        events.append("compiled")
        return jax.pure_callback(ran, jax.ShapeDtypeStruct((), jnp.float32), x)

    memory_saving_jit(traced, ahead=True)(jnp.float32(1)).block_until_ready()
    assert events == ["given back", "compiled", "given back", "ran"]
