"""The page in a real browser, served by `sam-av app`: a visitor uploads, looks, drags and takes home."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np
import pytest
from browser import find_browser
from films import save_film
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from scipy.io import wavfile
from test_app_runs import clip, film, iou, scene  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow
PATIENCE = 180  # seconds, for a machine that does other things, too


class Server:
    """`sam-av app` as a process, and what it has printed."""

    def __init__(self, *arguments, temporary):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sam_av.cli", "app", "--port", str(port), *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        self._opened = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        assert self._opened.wait(PATIENCE), "".join(self.lines)

    def _listen(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if "Running on" in line:
                self._opened.set()

    def status(self, path):
        """What a request for a file of the server gets."""
        try:
            with urllib.request.urlopen(f"{self.url}/gradio_api/file={quote(str(path))}", timeout=30) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code

    def close(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    limits = ["--max-seconds", "8", "--max-megabytes", "2"]
    server = Server("--adapter", "builtin:demo-sama", *limits, temporary=tmp_path_factory.mktemp("temporary"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser():
    path = find_browser()
    if path is None:
        pytest.skip("NO BROWSER: THE PAGE WAS NOT TESTED IN ONE. `make test-slow` says how it looked for one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser, server):
    """A visitor's page, in a browser profile of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(1000 * PATIENCE)
    expect.set_options(timeout=1000 * PATIENCE)
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector("#find")
    yield page
    context.close()


def upload(page, path, where="#source"):
    page.set_input_files(f"{where} input[type=file]", path)


def run(page, rate="1 mask a second"):
    page.click("#rate input")
    page.get_by_role("option", name=rate).click()
    page.click("#find")


def note(page):
    return page.locator("#note").inner_text()


def shown(page):
    """The picture that the page shows, (H, W, 3)."""
    source = page.locator("#frame img").get_attribute("src")
    with Image.open(io.BytesIO(page.request.get(source).body())) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def download(page, button):
    with page.expect_download() as expected:
        page.click(button)
    return expected.value


def drag(page, slider, share):
    """Drags the handle of a slider with the mouse, to a share of its way."""
    handle = page.locator(f"{slider} input[type=range]")
    handle.scroll_into_view_if_needed()
    low, high, value = (float(handle.get_attribute(name) or handle.input_value()) for name in ("min", "max", "none"))
    box = handle.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 8 + (box["width"] - 16) * (value - low) / (high - low), middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 8 + (box["width"] - 16) * share, middle, steps=10)
    page.mouse.up()


def test_upload_run_see_drag_download(visitor, server, film, clip, tmp_path):  # noqa: F811
    page = visitor
    upload(page, film)
    page.wait_for_selector("#source video")
    run(page)
    expect(page.locator("#note")).to_contain_text("score is")

    # A mask is drawn: red where the truth is, faded elsewhere.
    number = round(float(re.search(r"At (\d\.\d\d) s", note(page))[1]))
    truth, faded = clip.binary_masks()[number], 0.55 * clip.frames[number] + 0.45 * 70
    redder = (shown(page) - faded)[..., 0] - (shown(page) - faded)[..., 1]
    assert redder[truth].mean() > 40 > abs(redder[~truth].mean())

    # The video and the masks are there to take home.
    page.wait_for_selector("#timeline img")
    page.wait_for_selector("#download-masks")
    with zipfile.ZipFile(download(page, "#download-masks").path()) as archive:
        assert archive.namelist() == [*(f"masks/{k:06d}.png" for k in range(5)), "masks.jsonl"]
        mask = np.asarray(Image.open(io.BytesIO(archive.read(f"masks/{number:06d}.png")))) > 0
    assert iou(mask, truth) > 0.5
    expect(page.locator("#download")).to_be_visible()
    got = download(page, "#download")
    assert got.suggested_filename == "masks.mp4"
    with av.open(got.path()) as video:
        assert sum(1 for _ in video.decode(video.streams.video[0])) == 50 and video.streams.audio
    page.get_by_role("tab", name="Video").last.click()
    page.wait_for_selector("#video video")
    page.get_by_role("tab", name="Frame by frame").click()

    # Dragging the threshold changes the mask and, let go of, the files.
    first, before = page.locator("#timeline img").get_attribute("src"), note(page)
    drag(page, "#threshold", 0.1)
    expect(page.locator("#note")).not_to_have_text(before)
    expect(page.locator("#timeline img")).not_to_have_attribute("src", first)
    covers = [float(re.search(r"covers (\d+\.\d)%", text)[1]) for text in (before, note(page))]
    assert covers[1] > covers[0]


def test_a_swapped_sound_moves_the_mask(visitor, film, scene, tmp_path):  # noqa: F811
    other = scene.swap(scene.silent_objects[0])
    wavfile.write(tmp_path / "other.wav", 16_000, (32_767 * other.waveform).astype(np.int16))
    upload(visitor, film)
    visitor.wait_for_selector("#source video")
    upload(visitor, tmp_path / "other.wav", "#sound")
    expect(visitor.locator("#sound")).to_contain_text("0:05")
    run(visitor)
    expect(visitor.locator("#note")).to_contain_text("score is")
    number = round(float(re.search(r"At (\d\.\d\d) s", note(visitor))[1]))
    truth, faded = other.binary_masks()[number], 0.55 * other.frames[number] + 0.45 * 70
    redder = (shown(visitor) - faded)[..., 0] - (shown(visitor) - faded)[..., 1]
    assert redder[truth].mean() > 40


def test_a_picture_and_a_sound(visitor, clip, tmp_path):  # noqa: F811
    Image.fromarray(clip.frames[0]).save(tmp_path / "street.png")
    wavfile.write(tmp_path / "street.wav", 16_000, (32_767 * clip.waveform).astype(np.int16))
    visitor.get_by_role("tab", name="Picture").click()
    upload(visitor, tmp_path / "street.png", "#picture")
    visitor.wait_for_selector("#picture img")
    run(visitor)
    expect(visitor.locator(".toast-body")).to_contain_text("A picture needs a sound: upload or record one.")
    upload(visitor, tmp_path / "street.wav", "#sound")
    expect(visitor.locator("#sound")).to_contain_text("0:05")
    visitor.click("#find")
    expect(visitor.locator("#note")).to_contain_text("The mask covers")
    assert download(visitor, "#download").suggested_filename == "mask-on-picture.png"


def test_an_example(visitor):
    visitor.get_by_role("button", name="A bell, then a bee").click()
    visitor.wait_for_selector("#source video")
    run(visitor)
    expect(visitor.locator("#note")).to_contain_text("score is")


class TestMistakes:
    """Each has words that a person can read."""

    def test_nothing_given(self, visitor):
        visitor.click("#find")
        expect(visitor.locator(".toast-body")).to_contain_text("There is no video yet: upload one")

    def test_a_broken_file(self, visitor, tmp_path):
        (tmp_path / "holiday.mp4").write_bytes(os.urandom(5000))
        upload(visitor, tmp_path / "holiday.mp4")
        visitor.wait_for_selector("#source video")
        visitor.click("#find")
        toast = visitor.locator(".toast-body")
        expect(toast).to_contain_text("'holiday.mp4' cannot be read as a video: it is broken, cut off")
        assert "/gradio" not in toast.inner_text() and "Traceback" not in toast.inner_text()

    def test_a_file_that_is_too_large(self, visitor, tmp_path):
        (tmp_path / "large.mp4").write_bytes(bytes(3_000_000))
        upload(visitor, tmp_path / "large.mp4")
        expect(visitor.locator(".toast-body")).to_contain_text("exceed the maximum allowed size of 2.0 Mb")
        assert visitor.locator("#source video").count() == 0

    def test_a_video_that_is_too_long(self, visitor, tmp_path):
        upload(visitor, save_film(tmp_path / "long.mp4", frames=100))
        visitor.wait_for_selector("#source video")
        visitor.click("#find")
        expect(visitor.locator(".toast-body")).to_contain_text(
            "'long.mp4' lasts 10 s or more, and this page takes up to 8 s"
        )


class TestPrivacy:
    def test_visitors_do_not_see_each_other(self, visitor, browser, server, film):  # noqa: F811
        """What one has given and found stands on no other page, and no other page can ask for it."""
        upload(visitor, film)
        visitor.wait_for_selector("#source video")
        run(visitor)
        expect(visitor.locator("#download")).to_be_visible()
        other = browser.new_context().new_page()
        other.goto(server.url)
        other.wait_for_selector("#find")
        other.wait_for_timeout(2000)
        assert other.locator("#source video").count() == other.locator("#frame img").count() == 0
        assert film.name not in other.content() and "masks.mp4" not in other.content()
        other.context.close()

        (folder,) = server.temporary.glob("sam-av-app-*")
        kept = [path for path in (folder / "runs").rglob("*") if path.is_file()]
        assert any(path.suffix == ".npy" for path in kept) and any(path.suffix == ".jpg" for path in kept)
        assert {server.status(path) for path in kept} == {403}, "runs are served to nobody, not even by their paths"
        served = [path for path in (folder / "served").rglob("*") if path.is_file()]
        assert all(re.fullmatch(r"[0-9a-f]{64}", path.relative_to(folder / "served").parts[0]) for path in served), (
            "what is served lies in folders whose names cannot be guessed"
        )
        assert server.status(folder / "served") == 403, "and there is no list of them"

    @pytest.mark.parametrize(
        "path",
        [
            "/etc/passwd",
            "../../../../etc/passwd",
            str(Path(__file__)),
            "pyproject.toml",
            "{served}/../examples/bell-then-bee.mp4",
            "{served}/../runs",
            "file:///etc/passwd",
        ],
    )
    def test_no_other_file_of_the_machine_is_served(self, server, path):
        (folder,) = server.temporary.glob("sam-av-app-*")
        assert server.status(path.format(served=folder / "served")) in (403, 404)

    def test_a_path_that_was_not_uploaded_is_not_taken(self, visitor, server):
        """A visitor who writes requests by hand gets no other file of the machine as a source, either."""
        secret = str(Path(__file__).parent / "golden" / "metrics.json")
        config = visitor.request.get(f"{server.url}/config").json()
        (index,) = [k for k, call in enumerate(config["dependencies"]) if call["api_name"] == "find"]
        data = {"path": secret, "meta": {"_type": "gradio.FileData"}}
        inputs = ["video", data, None, None, "builtin:demo-sama", 1.0, None]
        call = {"data": inputs, "fn_index": index, "session_hash": "byhand", "event_data": None, "trigger_id": None}
        assert visitor.request.post(f"{server.url}/gradio_api/queue/join", data=call).ok
        with urllib.request.urlopen(f"{server.url}/gradio_api/queue/data?session_hash=byhand", timeout=60) as reply:
            told = reply.read().decode()
        assert "process_completed" in told and '"success":false' in told and "score" not in told
        assert "it was not uploaded by a user" in "".join(server.lines)


def test_a_visitor_who_stops_leaves_nothing(visitor, server):
    (folder,) = server.temporary.glob("sam-av-app-*")
    before, lines = set((folder / "runs").glob("*")), len(server.lines)
    visitor.get_by_role("button", name="A bell, then a bee").click()
    visitor.wait_for_selector("#source video")
    run(visitor, "25 masks a second")
    expect(visitor.locator("#note")).to_contain_text("Looking and listening")
    visitor.click("#stop")
    visitor.wait_for_timeout(5000)
    assert set((folder / "runs").glob("*")) <= before
    assert not any("Traceback" in line for line in server.lines[lines:]), "".join(server.lines)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_end_leaves_nothing_behind(tmp_path, end):
    server = Server(temporary=tmp_path)
    assert list(tmp_path.glob("sam-av-app-*"))
    server.process.send_signal(end)
    assert server.process.wait(60) in (0, 130), "closed, or interrupted before it was quite open"
    assert not list(tmp_path.glob("sam-av-app-*")) and not any("Traceback" in line for line in server.lines)
