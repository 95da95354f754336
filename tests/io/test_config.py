import pytest

from nstjax.errors import InputError
from nstjax.io.config import check_resumable, write_config


def test_a_run_with_settings_of_other_names_is_of_another_version(tmp_path):
    write_config(tmp_path, {"settings": {"seed": 0, "learning_rates": None}})
    with pytest.raises(InputError, match="of another version of nstjax: start again"):
        check_resumable(tmp_path, {"seed": 0, "adam_learning_rate": None})
    with pytest.raises(InputError, match="seed was 0, is 1"):
        check_resumable(tmp_path, {"seed": 1, "learning_rates": None})
