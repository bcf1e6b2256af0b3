"""The documentation as a site: built without a warning, complete, and whole without any other server."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from browser import find_browser

import sam_av
from sam_av import audio, data, metrics, sam, synthesis, train

ROOT = Path(__file__).parent.parent
BROWSER = find_browser()


class Loads(HTMLParser):
    """What a page makes a browser load by itself: scripts, styles, fonts, pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in ("script", "img", "iframe", "source", "video", "audio"):
            self.addresses.append(given.get("src") or "")
        elif tag == "link" and given.get("rel") not in ("next", "prev", "canonical", "alternate"):
            self.addresses.append(given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not re.search(r"^(WARNING|ERROR)", done.stderr, re.MULTILINE), done.stderr
    return folder


@pytest.mark.slow
def test_every_page_of_docs_is_on_it(site):
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs")).with_suffix(".html").is_file(), page


@pytest.mark.slow
def test_what_pages_link_to_beside_docs_is_on_it(site):
    for name in ("examples/recipes/s4.yaml", "benchmarks/results/demo.html", "MODEL_CARD.html"):
        assert (site / name).is_file(), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["use", "fine_tune"])
def test_a_notebook_is_a_page_with_its_pictures(site, name):
    page = (site / "examples" / f"{name}.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/') >= 3 and "SamAV" in page and ".ipynb" not in page


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site):
    for page in site.rglob("*.html"):
        parser = Loads()
        parser.feed(page.read_text(encoding="utf-8"))
        assert not [address for address in parser.addresses if re.match(r"(https?:)?//", address)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.slow
def test_its_search_finds_methods_and_errors(site):
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")  # a script, which loads from a folder
    for words in ("push_to_hub", "cannot be loaded beside torch", "prompt_tokens"):
        assert words in index, words


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
def test_its_search_answers_in_a_page_that_was_opened_from_a_folder(site):
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    address = f"{(site / 'index.html').as_uri()}?q=prompt_tokens"
    page = subprocess.run([BROWSER, *options, address], capture_output=True, text=True, check=True, timeout=120).stdout
    assert re.search(r"\d+ matching documents", page)


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", [sam_av, audio, data, metrics, sam, synthesis, train], ids=lambda module: module.__name__
)
def test_every_public_name_has_its_place_in_the_api(site, module):
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    constants = {"PROTOCOLS"}
    for name in set(module.__all__) - constants:
        assert re.search(rf'id="sam_av\.[\w.]*\b{name}"', pages), name


@pytest.mark.slow
def test_the_fields_of_a_recipe_have_their_help(site):
    page = (site / "api" / "training.html").read_text(encoding="utf-8")
    assert "Highest learning rate." in page and 'id="sam_av.recipe.Recipe.max_grad_norm"' in page
    assert "setting(" not in re.sub(r"<[^>]+>", "", page)  # a field shows its default, not what makes it


def test_every_page_is_in_the_navigation():
    class Loader(yaml.SafeLoader):
        """Reads mkdocs.yml, whose tags are for MkDocs."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    navigation = str(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"])
    for page in (ROOT / "docs").rglob("*.md"):
        assert f"'{page.relative_to(ROOT / 'docs').as_posix()}'" in navigation, page
