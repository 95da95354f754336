"""Settings as the page's form needs them: the texts of flags, and what may be given."""

from typing import Any

from nstjax.commands.preset_flags import SETTINGS
from nstjax.presets.preset import Preset
from nstjax.presets.settings import LIMITS, setting_choices, setting_types, settings_of


def setting_texts(preset: Preset) -> dict[str, str]:
    """A preset's settings as the texts of flags."""
    return {name: _text(value) for name, value in settings_of(preset).items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and hasattr(value, "rule"):
        rule, number = value
        if rule == "exact":
            return f"{number[1]}x{number[0]}"
        return rule if rule == "original" else f"{rule}:{number}"
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return (
        ""
        if value is None
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def described_setting(name: str) -> dict[str, Any]:
    """What the page needs to know to let somebody change a setting."""
    kind = setting_types()[name]
    plain = {bool: "switch", int: "whole", float: "number"}.get(kind, "text")
    low, high = LIMITS.get(name, (None, None))
    return {
        "name": name,
        "help": SETTINGS[name],
        "kind": "choice" if setting_choices(name) else plain,
        "choices": setting_choices(name),
        "least": low,
        "most": high,
    }
