"""What is known of the studio's runs, from their folders alone."""

import json

import pytest

from nstjax.errors import InputError
from nstjax.studio.jobs import read_job
from nstjax.studio.pictures import Picture, Pictures, id_of, shown_name
from nstjax.studio.runs import Runs
from nstjax.studio.speeds import Speeds

JOB = read_job({"type": "paint", "photo": "a" * 20, "styles": [{"picture": "b" * 20}]})
# [height, width, first step, last step]
SCALES = [[10, 20, 0, 4], [20, 40, 4, 10]]


def logged(runs, key, steps, seconds):
    """Have a run's log say that these steps are done."""
    folder = runs.path(key)
    config = {"settings": {"scales": SCALES, "weights_sha256": "ab" * 32}}
    (folder / "config.json").write_text(json.dumps(config))
    rows = [
        {"step": step, "total": 100.0 - step, "seconds": second}
        for step, second in zip(steps, seconds, strict=True)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    # A line that is being written has no end yet.
    (folder / "metrics.jsonl").write_text(text + '{"step": 9')


def test_a_run_is_read_back(tmp_path):
    runs = Runs(tmp_path)
    key = runs.new(JOB)
    assert list(runs) == [key]
    record = runs.read(key)
    assert (record.job, record.wish, record.ended) == (JOB, "run", False)
    record.wish, record.more_steps = "pause", 50
    runs.write(key, record)
    assert Runs(tmp_path).read(key) == record
    assert runs.results(key) == []
    assert runs.preview(key) is None
    runs.remove(key)
    assert list(runs) == []


def test_progress_weighs_steps_by_their_pixels(tmp_path):
    runs = Runs(tmp_path)
    key = runs.new(JOB)
    assert runs.progress(key).steps == 0
    logged(runs, key, [0, 1, 2, 3], [5.0, 6.0, 7.0, 8.0])
    progress = runs.progress(key)
    assert (progress.step, progress.steps, progress.total_loss) == (4, 10, 97.0)
    # Three steps of 200 pixels took 3 seconds; six of 800 are left.
    assert progress.seconds_left == pytest.approx(6 * 800 * 3 / 600)
    assert runs.losses(key) == [(0, 100.0), (1, 99.0), (2, 98.0), (3, 97.0)]
    sha256, seconds, pixel_steps = runs.pace(key)
    assert (sha256, seconds, pixel_steps) == ("ab" * 32, 3.0, 600)


def test_speeds_are_learned(tmp_path):
    speeds = Speeds(tmp_path / "speeds.json")
    plan = {"advice": "", "weights_sha256": "ab", "pixel_steps": 1000}
    first = speeds.seconds(plan)
    speeds.learn("ab", 30.0, 1000)
    learned = speeds.seconds(plan)
    assert learned - first == pytest.approx(30.0 - 6e-6 * 1000)
    speeds.learn("ab", 10.0, 1000)
    assert speeds.seconds(plan) == pytest.approx(learned - 10.0)
    speeds.learn("ab", 0.0, 0)
    assert speeds.seconds(plan) == pytest.approx(learned - 10.0)


@pytest.mark.parametrize("key", ["..", "../x", "20260101-000000-abcdef", ""])
def test_a_run_that_is_not_there_is_refused(key, tmp_path):
    with pytest.raises(InputError, match="there is no run"):
        Runs(tmp_path).read(key)


def test_a_damaged_record_is_told(tmp_path):
    runs = Runs(tmp_path)
    key = runs.new(JOB)
    (runs.path(key) / "studio.json").write_text('{"job": 3}')
    with pytest.raises(InputError, match="is damaged"):
        runs.read(key)
    whole = runs.new(JOB)
    assert list(runs) == [whole]
    (line,) = runs.damaged()
    assert "studio.json is damaged" in line and line.endswith("delete its folder")
    assert not runs.has_steps(whole)


def test_pictures_are_named_by_what_they_hold(tmp_path):
    pictures = Pictures(tmp_path / "pictures")
    upload = pictures.new_upload()
    upload.write_bytes(b"some bytes")
    key = id_of(upload, "photo")
    assert key != id_of(upload, "painting")
    picture = Picture(key, "photo", "cat.png", ".png", 20, 10, 1.0)
    assert key not in pictures
    pictures.keep(upload, picture)
    assert key in pictures
    assert (pictures[key], list(pictures)) == (picture, [picture])
    assert pictures.original(picture).read_bytes() == b"some bytes"
    record = pictures.folder / f"{key}.json"
    whole = record.read_text()
    for damaged in ("{", "{}"):
        record.write_text(damaged)
        assert (list(pictures), key in pictures) == ([], False)
        with pytest.raises(InputError, match="add the picture again"):
            pictures[key]
    record.write_text(whole)
    pictures.remove(picture)
    assert not list(pictures.folder.iterdir())
    with pytest.raises(InputError, match="add the picture again"):
        pictures[key]
    for wrong in ("../../etc/passwd", "x" * 20, ""):
        assert wrong not in pictures
        with pytest.raises(InputError, match="no picture's id"):
            pictures[wrong]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\cat.png", "cat.png"),
        ("a\x1b[2Jb\n.png", "a[2Jb.png"),
        ("", "picture"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_name_is_for_people_only(given, shown):
    assert shown_name(given) == shown
