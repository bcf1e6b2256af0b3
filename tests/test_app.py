"""The page without a browser: which adapters it offers, what its events give, what it says of mistakes."""

import re
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import yaml
from huggingface_hub import SpaceCard
from test_app_runs import clip, film, iou, scene  # noqa: F401 - fixtures

from sam_av import app
from sam_av.app.adapters import AdapterChoice
from sam_av.app.examples import write_examples
from sam_av.app.limits import Limits
from sam_av.app.page import Page
from sam_av.cli import build_parser, main

ROOT = Path(__file__).parent.parent


class TestAdapters:
    def test_the_last_one_stays_loaded(self):
        choice = AdapterChoice(["builtin:demo-sama", "builtin:demo-ap-sam"], "none")
        first = choice.load("builtin:demo-sama")
        assert choice.load(" builtin:demo-sama ") is first
        assert choice.load("builtin:demo-ap-sam").config.method == "ap-sam"

    @pytest.mark.parametrize("name", ["user/adapter", "builtin:demo-ap-sam", "adapters/demo-sama", ""])
    def test_a_page_that_offers_one_only(self, name):
        with pytest.raises(ValueError, match="This page offers builtin:demo-sama, and no other"):
            AdapterChoice(["builtin:demo-sama"], "none").load(name)

    @pytest.mark.parametrize("place", ["{tmp}", "~", ".", "..", "/etc", "./lost", "{tmp}/lost"])
    def test_others_of_the_hub_are_no_folders_of_this_machine(self, tmp_path, place):
        """An error about a folder tells what lies in it, and visitors must not learn that."""
        (tmp_path / "secret.txt").touch()
        with pytest.raises(ValueError, match="is no name of an adapter on the Hub") as told:
            AdapterChoice(["builtin:demo-sama"], "hub").load(place.format(tmp=tmp_path))
        assert "secret" not in str(told.value)

    def test_a_page_of_ones_own(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="it has no config.json"):
            AdapterChoice(["builtin:demo-sama"], "any").load(str(tmp_path))
        assert AdapterChoice(["builtin:demo-sama"], "any").load(str(ROOT / "adapters" / "demo-ap-sam"))


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ({}, "none"),
        ({"host": "127.0.0.1"}, "none"),
        ({"host": "0.0.0.0", "any_adapter": True}, "hub"),
        ({"any_adapter": True}, "hub"),
        ({"any_folder": True}, "any"),
    ],
)
def test_who_may_name_other_adapters(monkeypatch, options, others):
    """Nobody, unless it is asked for: behind a proxy strangers come from this machine, too."""
    chosen, served = [], []
    monkeypatch.setattr("sam_av.app.adapters.AdapterChoice.load", lambda choice, name: chosen.append(choice))
    monkeypatch.setattr("sam_av.app.examples.write_examples", lambda folder: [])
    monkeypatch.setattr(gr.Blocks, "launch", lambda blocks, **settings: served.append(settings))
    for name in ("GRADIO_TEMP_DIR", "GRADIO_EXAMPLES_CACHE"):
        monkeypatch.setenv(name, "as it was")
    app.launch(**options, limits=Limits(megabytes=2))
    assert [choice.others for choice in chosen] == [others]
    (settings,) = served
    assert settings["server_name"] == options.get("host")
    assert settings["max_file_size"] == 2 * 2**20 and settings["allowed_paths"] == []


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    choice = AdapterChoice(["builtin:demo-sama"], "none", "cpu")
    return Page(choice, Limits(seconds=8), tmp_path_factory.mktemp("shelf"), [])


@pytest.fixture(scope="module")
def updates(page, film):  # noqa: F811
    """What the page shows of a run, one after the other."""
    return list(page.find("video", str(film), None, None, "builtin:demo-sama", 1.0, None))


class TestEvents:
    def test_what_a_visitor_sees(self, updates, clip):  # noqa: F811
        assert "Loading the adapter" in updates[0][2] and "Looking and listening" in updates[1][2]
        run, shown, note, moment, threshold, *_ = updates[-1]
        assert shown.shape == (160, 160, 3) and re.fullmatch(
            r"At \d\.\d\d s: the mask covers \d+\.\d% of the frame, and its score is 0\.\d\d\.", note
        )
        assert moment.value == run.surest() and threshold.value == run.threshold == 0.65

    def test_drawn_again_at_another_threshold(self, page, updates):
        run = updates[-1][0]
        low, high = (page.draw(run, run.surest(), threshold) for threshold in (0.1, 0.95))
        assert not np.array_equal(low[0], high[0]) and low[1] != high[1]

    def test_files(self, page, updates):
        timeline, masks, video = page.write(updates[-1][0], 0.65)
        assert Path(timeline[0]).name == "timeline.png"
        assert Path(masks[3].value["path"]).name == "masks.zip"
        assert Path(video[1].value["path"]).name == "masks.mp4"

    @pytest.mark.parametrize("given", [1, 3])
    def test_results_that_were_given_leave_nothing_behind(self, page, updates, given):
        """Each release of the threshold writes all of them; Gradio has a copy of those that it serves."""
        run = updates[-1][0]
        before, writing = set(run.folder.rglob("*")), page.write(run, 0.5)
        for _ in range(given):
            next(writing)
        assert set(run.folder.rglob("*")) > before
        writing.close()  # as when a visitor stops
        assert set(run.folder.rglob("*")) == before

    def test_another_run_takes_the_place_of_the_first(self, page, film):  # noqa: F811
        *_, first = page.find("video", str(film), None, None, "builtin:demo-sama", 1.0, None)
        *_, second = page.find("video", str(film), None, None, "builtin:demo-sama", 1.0, first[0])
        assert not first[0].folder.exists() and second[0].folder.is_dir()
        assert list(page.write(first[0], 0.5)) == [], "whose files were still being written"

    def test_a_drag_waits_in_no_queue(self, page):
        drawing = [event for event in page.build().fns.values() if event.fn == page.draw]
        assert len(drawing) == 2 and not any(event.queue for event in drawing)

    def test_before_there_is_anything(self, page):
        assert page.draw(None, 0, 0.5)[0] is None
        assert len(list(page.write(None, 0.5))) == 1

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (("video", None, None, None), "There is no video yet"),
            (("picture", "{film}", None, None), "There is no picture yet"),
            (("picture", None, "{picture}", None), "A picture needs a sound"),
            (("video", "{broken}", None, None), "'broken.mp4' cannot be read as a video"),
            (("video", "{film}", None, "{broken}"), "'broken.mp4' cannot be read as a sound"),
            (("video", "{mute}", None, None), "'it mute.mp4' has no audio track"),
        ],
    )
    def test_mistakes_are_told_without_a_path(self, page, film, tmp_path, given, words):  # noqa: F811
        from films import save_film

        (tmp_path / "broken.mp4").write_bytes(b"no video" * 99)
        files = {
            "film": film,
            "broken": tmp_path / "broken.mp4",
            "mute": save_film(tmp_path / "it mute.mp4", sound=None),
            "picture": tmp_path / "picture.png",
        }
        kind, *paths = given
        paths = [path and path.format(**files) for path in paths]
        with pytest.raises(gr.Error, match=words) as told:
            list(page.find(kind, *paths, "builtin:demo-sama", 1.0, None))
        assert str(tmp_path) not in str(told.value) and "/tmp" not in str(told.value)
        assert str(page.shelf) not in str(told.value)


def test_examples(tmp_path):
    first, *swapped = write_examples(tmp_path)
    Limits().check_video(first.video)
    assert first.sound is None and len(swapped) == 3
    for example in swapped:
        assert example.video == first.video
        Limits().check_sound(example.sound)


class TestSpace:
    """`examples/space`, to be pushed to the Hub as it is."""

    FOLDER = ROOT / "examples" / "space"

    def test_front_matter(self):
        data = SpaceCard.load(self.FOLDER / "README.md").data
        assert data.sdk == "gradio" and data.app_file == "app.py" and data.license == "apache-2.0"
        assert (self.FOLDER / data.app_file).is_file()
        colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
        assert {data.colorFrom, data.colorTo} <= colours
        extra = re.search(r'app = \["gradio>=([\d.]+),<7"\]', (ROOT / "pyproject.toml").read_text())[1]
        assert data.sdk_version.startswith(extra), "the oldest gradio that the page runs on"
        assert len(yaml.safe_dump(data.short_description)) < 65, "the Hub cuts longer ones off"

    def test_requirements(self):
        assert (self.FOLDER / "requirements.txt").read_text().split() == ["sam-av[app]"]

    def test_it_launches_the_page(self, monkeypatch):
        launched = []
        monkeypatch.setattr(app, "launch", lambda *arguments, **options: launched.append((arguments, options)))
        monkeypatch.setenv("ADAPTERS", "user/one user/two")
        exec(compile((self.FOLDER / "app.py").read_text(), "app.py", "exec"), {"__name__": "__main__"})
        ((arguments, options),) = launched
        assert arguments == (["user/one", "user/two"],) and options["limits"].seconds <= 60


def test_the_command_line_reaches_the_page(monkeypatch):
    launched = []
    monkeypatch.setattr(app, "launch", lambda *arguments, **options: launched.append((arguments, options)))
    options = [
        "--adapter",
        "a/b",
        "c/d",
        "--any-folder",
        "--port",
        "7000",
        "--max-seconds",
        "9",
        "--max-megabytes",
        "8",
        "--share",
    ]
    assert main(["app", *options]) == 0
    ((arguments, options),) = launched
    assert arguments == (["a/b", "c/d"],) and options["port"] == 7000 and options["share"]
    assert options["any_folder"] and not options["any_adapter"]
    assert (options["limits"].seconds, options["limits"].megabytes) == (9, 8)
    parsed = build_parser().parse_args(["app"])
    assert Limits() == Limits(parsed.max_seconds, parsed.max_megabytes, parsed.max_masks, parsed.max_waiting)


def test_an_adapter_that_is_not_there(monkeypatch, capsys):
    for name in ("GRADIO_TEMP_DIR", "GRADIO_EXAMPLES_CACHE"):
        monkeypatch.setenv(name, "as it was")
    assert main(["app", "--adapter", "./lost"]) == 1
    error = capsys.readouterr().err.strip()
    assert "neither a folder on this disk nor" in error and len(error.splitlines()) == 1
