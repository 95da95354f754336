import warnings

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from nstjax.io import compilation_cache
from nstjax.io.compilation_cache import keep_compiled_programs


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation_cache.pooch, "os_cache", lambda name: tmp_path)
    names = ("compilation_cache_dir", "compilation_cache_max_size")
    names += ("persistent_cache_min_compile_time_secs",)
    before = {f"jax_{name}": getattr(jax.config, f"jax_{name}") for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    reset_cache()
    yield tmp_path / "compiled"
    reset_cache()
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_users_cache_folder(cache):
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == str(cache)
    assert jax.config.jax_compilation_cache_max_size == 2**31
    assert not cache.exists()
    jax.jit(lambda x: 3 * x + 5)(1.0)
    assert list(cache.glob("*-cache"))


def test_another_folder_of_the_user_s_own_stays_and_none_is_no_error(
    cache, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "own"))
        keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir is None  # JAX read it at its start
    cache.write_text("a file is where the folder would be")
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir is None


def test_what_a_killed_process_was_writing_keeps_no_others_out(cache):
    cache.mkdir()
    (cache / "jit_half-cache").write_text("half")
    keep_compiled_programs()
    jax.jit(lambda x: 3 * x + 6)(1.0)
    assert list(cache.glob("*-cache"))
    assert not (cache / "jit_half-cache").exists()


def test_program_cut_short_is_compiled_again_without_a_word(cache):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keep_compiled_programs()
        for _ in range(2):
            jax.clear_caches()
            assert jax.jit(lambda x: 3 * x + 7)(1.0) == 10
            for path in cache.iterdir():
                path.write_bytes(path.read_bytes()[:50])
