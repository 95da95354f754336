"""What can be asked for, and the command lines that do it."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from nstjax.errors import InputError
from nstjax.images.resizing import parse_size
from nstjax.presets.preset import INITS, Preset
from nstjax.presets.published import DEFAULT_PRESET, get_preset
from nstjax.presets.settings import customize, default_size_rule, setting_types
from nstjax.studio.pictures import Picture, Pictures

FACTORS = (0.001, 0.03, 1.0)  # of beta, for nine pictures
LITTLE_STYLE = 0.1  # of a preset's beta
SCALES = (0.5, 1.0, 2.0)  # of style_scale
LookSide = Literal[240, 496]  # with the margins of learned descent 256 and 512
LOOK_SIDES: tuple[int, ...] = get_args(LookSide)
MOST_STYLES = 8
MOST_PHOTOS = 1000
MOST_REFINEMENTS = 1000

Share = Annotated[float, msgspec.Meta(ge=0, le=1000)]
Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{20}$")]
Several = Annotated[list[Id], msgspec.Meta(max_length=MOST_STYLES)]


class Style(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A painting that was given, or a style that the bundled model knows by name."""

    picture: Id | None = None
    name: Annotated[str, msgspec.Meta(pattern=r"^\w{1,40}$")] | None = None
    share: Share = 1.0


Styles = Annotated[list[Style], msgspec.Meta(min_length=1, max_length=MOST_STYLES)]


class Painting(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag="paint"):
    """A photo to be painted by optimization: a run of ``nstjax``.

    Settings are those of a ``Preset``, as texts, by name. There is a mask for each
    style, grey, or none at all.
    """

    photo: Id
    styles: Styles
    preset: str = DEFAULT_PRESET
    weights: str = "auto"
    settings: dict[str, str] = {}
    masks: Several = []
    stylize_mask: Id | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0


class Restyling(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag="restyle"):
    """Photos or videos to be restyled in one pass: a run of ``nstjax-fast``."""

    photos: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MOST_PHOTOS)]
    styles: Styles
    strength: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    refine: Annotated[int, msgspec.Meta(ge=0, le=MOST_REFINEMENTS)] = 0
    size: str = "long:1024"


class Nine(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag="nine"):
    """A painting tried at a small size, with less and more style and stroke size."""

    painting: Painting


class Look(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A photo in one pass, in full style, with a long side of so many pixels."""

    photo: Id
    styles: Styles
    side: LookSide = 496


Job = Painting | Restyling | Nine


def read_look(data: Any) -> Look:
    """A look that came as JSON data; ``InputError`` where it is none."""
    return _converted(data, Look, "look")


def read_job(data: Any) -> Job:
    """A job that came as JSON data; ``InputError`` where it is none."""
    job: Job = _converted(data, Job, "job")
    if isinstance(job, Restyling):
        parse_size(job.size, "long")
    else:
        preset_of(job.painting if isinstance(job, Nine) else job)
    return job


def preset_of(job: Painting) -> Preset:
    """The settings of a painting, read and checked as the command does."""
    preset = get_preset(job.preset)
    values = {name: _value(name, text, preset) for name, text in job.settings.items()}
    preset = customize(preset, **values)
    if preset.image.init not in INITS:
        raise InputError(f"init must be one of {', '.join(INITS)} here")
    return preset


def varied(job: Painting, beta: float, style_scale: float) -> dict[str, Any]:
    """Two settings of a painting, times these factors.

    With little style it starts from the photo: its content has no colors, so that those
    of a restyled photo would stay.
    """
    preset = preset_of(job)
    made = {
        "beta": beta * preset.beta,
        "style_scale": style_scale * preset.image.style_scale,
    }
    least = LITTLE_STYLE * get_preset(job.preset).beta
    if preset.image.init == "fast" and made["beta"] < least:
        return made | {"init": "content"}
    return made


def arguments(job: Painting | Restyling, pictures: Pictures) -> list[str]:
    """The command that does a job, but for where its results go."""
    styles = [_style_text(style, pictures) for style in job.styles]
    if isinstance(job, Restyling):
        photos = [_path(key, pictures) for key in job.photos]
        given = [
            "--style=" + text.replace(",", r"\,") + f":{share:g}" * (len(styles) > 1)
            for text, share in style_items(job, pictures)
        ]
        given += [f"--size={job.size}"]
        given += [f"--strength={job.strength:g}"] if job.strength != 1 else []
        given += [f"--refine={job.refine}"] if job.refine else []
        return ["nstjax-fast", *photos, *given]
    if any(style.picture is None for style in job.styles):
        raise InputError(
            "the bundled styles are restyled in one pass: to paint, add the painting"
        )
    given = [f"--preset={job.preset}"]
    given += [f"--weights={job.weights}"] if job.weights != "auto" else []
    given += [f"--{name}={text}" for name, text in job.settings.items()]
    given += [f"--seed={job.seed}"] if job.seed else []
    if job.masks:
        if len(job.masks) != len(styles):
            raise InputError(f"{len(job.masks)} masks for {len(styles)} paintings")
        masks = [_path(key, pictures) for key in job.masks]
        escaped = (mask.replace("+", r"\+") for mask in masks)
        given.append(f"--content_mask={'+'.join(escaped)}")
    elif len(styles) > 1:
        shares_text = ",".join(f"{style.share:g}" for style in job.styles)
        given.append(f"--style_blend_weights={shares_text}")
    if job.stylize_mask is not None:
        given.append(f"--stylize_mask={_path(job.stylize_mask, pictures)}")
    return ["nstjax", _path(job.photo, pictures), *styles, *given]


def command_text(
    job: Painting | Restyling, pictures: Pictures, more: Sequence[str] = ()
) -> str:
    """The command as somebody can paste it into a terminal."""
    return shlex.join([*arguments(job, pictures), *more])


def shared_text(job: Painting | Restyling, pictures: Pictures) -> str:
    """The command with the pictures' own names, for a file that others may get."""
    given = arguments(job, pictures)
    for key in pictures_of(job):
        name, path = pictures[key].name, _path(key, pictures)
        given = [argument.replace(path, name) for argument in given]
    return shlex.join(given)


def python_text(
    job: Painting | Restyling, pictures: Pictures, tile: int | None = None
) -> str:
    """The same in Python; of a restyling, the command called from there."""
    if isinstance(job, Restyling):
        command = ",\n    ".join(map(repr, arguments(job, pictures)))
        return (
            f"import subprocess\n\nsubprocess.run([\n    {command},\n], check=True)\n"
        )
    weights, given, options = python_arguments(job, pictures)
    options |= {"tile": tile} if tile else {}
    lines = [
        *map(repr, given),
        "params",
        repr(job.preset),
        *(f"{name}={value!r}" for name, value in options.items()),
    ]
    body = "".join(f"    {line},\n" for line in lines)
    return (
        f"import nstjax\n\nparams = nstjax.load_params({weights!r})\n"
        f"result = nstjax.stylize(\n{body})\n"
        'nstjax.write_image("stylized.png", result.image)\n'
    )


def python_arguments(
    job: Painting, pictures: Pictures
) -> tuple[str, tuple[str, list[str]], dict[str, Any]]:
    """The weights, the photo and paintings, and the options of ``nstjax.stylize``."""
    preset = get_preset(job.preset)
    quick = job.preset == "quick" and job.weights == "auto"
    options: dict[str, Any] = {"seed": job.seed} if job.seed else {}
    if job.masks:
        options["content_mask"] = [_path(key, pictures) for key in job.masks]
    elif len(job.styles) > 1:
        options["style_blend_weights"] = [style.share for style in job.styles]
    if job.stylize_mask is not None:
        options["stylize_mask"] = _path(job.stylize_mask, pictures)
    options |= {
        # A size stays the text that it is: ``stylize`` reads it as the command does.
        name: text if name == "size" else _value(name, text, preset)
        for name, text in sorted(job.settings.items())
    }
    paintings = [_style_text(style, pictures) for style in job.styles]
    given = _path(job.photo, pictures), paintings
    return "slim" if quick else job.weights, given, options


def style_items(
    job: Painting | Restyling | Look, pictures: Pictures
) -> list[tuple[str, float]]:
    """A job's styles as names or paths, with their shares."""
    return [(_style_text(style, pictures), style.share) for style in job.styles]


def pictures_of(job: Job) -> list[str]:
    """The ids of all pictures that a job needs."""
    if isinstance(job, Nine):
        return pictures_of(job.painting)
    ids = [style.picture for style in job.styles if style.picture is not None]
    if isinstance(job, Restyling):
        return [*job.photos, *ids]
    masks = [*job.masks, *([job.stylize_mask] if job.stylize_mask else [])]
    return [job.photo, *ids, *masks]


def _converted(data: Any, kind: Any, what: str) -> Any:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"this is no {what} that is known: {error}") from None


def _path(key: str, pictures: Pictures) -> str:
    picture: Picture = pictures[key]
    return str(pictures.original(picture))


def _style_text(style: Style, pictures: Pictures) -> str:
    if (style.picture is None) == (style.name is None):
        raise InputError("a style is a painting or a name: give one of them")
    if style.picture is not None:
        return _path(style.picture, pictures)
    assert style.name is not None
    return style.name


def _value(name: str, text: str, preset: Preset) -> Any:
    """A setting's value, as the command reads it of its flag."""
    types: Mapping[str, Any] = setting_types()
    if name not in types:
        raise InputError(f"unknown setting {name!r}: known are {', '.join(types)}")
    kind = types[name]
    if name == "size":
        return parse_size(text, default_size_rule(preset))
    try:
        if get_origin(kind) is tuple:
            parts = [part.strip() for part in text.split(",")] if text else []
            return tuple(map(get_args(kind)[0], parts))
        if kind is bool:
            return {"true": True, "false": False}[text]
        if kind is int:
            return int(text)
        if kind in (float, float | None):
            return float(text)
    except (ValueError, KeyError):
        raise InputError(f"{name}={text}: give {_KINDS.get(kind, 'numbers')}") from None
    return text


_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    float | None: "a number",
}
