"""The pages in docs: their blocks run in order as pasted, and what they say of the code is so."""

import ast
import re
import subprocess
import sys
from functools import cache

import pytest
import torch
import yaml
from pages import PAGES, README, ROOT, Block, blocks_of, make_stand_ins, open_place, script_of

from sam_av import SamAV, SamAVConfig
from sam_av.data import folder, hub_dataset, manifest, webdataset
from sam_av.recipe import Recipe

TEXTS = {page: page.read_text(encoding="utf-8") for page in [README, *PAGES]}
BLOCKS = [(page.relative_to(ROOT), block) for page, text in TEXTS.items() for block in blocks_of(text)]


def cases(chosen):
    """Blocks as parameters of a test, named by page and line."""
    return [pytest.param(block, id=f"{page}:{block.line}") for page, block in BLOCKS if chosen(block)]


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory):
    return make_stand_ins(tmp_path_factory.mktemp("stand-ins"))


def test_a_script_keeps_the_lines_of_its_page():
    page = "# A page\n```python\na = 1\n```\ntext\n```bash\necho hello\n```\n```python\nprint(a + 1 / 0)\n```"
    done = subprocess.run([sys.executable, "-c", script_of(page)], capture_output=True, text=True)
    assert done.stdout == "hello\n" and "line 10, in <module>" in done.stderr


def test_a_block_that_fails_is_not_passed_over():
    script = script_of("```bash\nfalse\ntrue\n```")
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT / "docs").as_posix())
def test_the_blocks_of_a_page_run_one_after_the_other(tmp_path, stand_ins, page):
    with open_place(stand_ins, tmp_path) as place:
        place.run_page(page)


@pytest.mark.parametrize("block", cases(lambda block: block.not_run))
def test_what_is_not_run_says_why_and_can_be_read(block: Block, request):
    """Skipped once it is sure of that, so that the end of every test run lists these blocks with their reasons."""
    checker = [sys.executable, "-c", "import ast, sys; ast.parse(sys.stdin.read())"]
    checker = ["bash", "-n"] if block.language == "bash" else checker
    assert subprocess.run(checker, input=block.code, text=True).returncode == 0
    pytest.skip(f"{request.node.callspec.id} is not run: {block.not_run}")


def test_only_few_blocks_are_not_run():
    assert len(cases(lambda block: block.not_run)) <= 18


def test_every_block_has_a_language_that_is_known():
    known = {"python", "bash", "yaml", "json", "bibtex", "text", ""}
    assert {block.language for _, block in BLOCKS} <= known


@pytest.mark.parametrize("block", cases(lambda block: block.language == "yaml"))
def test_yaml_is_yaml_and_a_recipe_is_a_recipe(block: Block):
    data = yaml.safe_load(block.code)
    if "data" in data:
        Recipe(**data)


def test_extras_that_are_named_are_there():
    project = (ROOT / "pyproject.toml").read_text()
    named = re.findall(r"sam-av\[(\w+)\]", "\n".join(TEXTS.values()))
    assert {"all", "data", "train"} <= set(named)
    for extra in named:
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


def test_benchmarks_that_are_named_are_there():
    for text in TEXTS.values():
        for path in re.findall(r"benchmarks/[\w/-]+\.(?:py|md)", text):
            assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("module", [folder, manifest, hub_dataset, webdataset])
def test_the_page_on_data_shows_the_trees_of_the_readers(module):
    assert f"```\n{module.TREE}\n```" in (ROOT / "docs" / "your-own-data.md").read_text(encoding="utf-8")


@cache
def texts_of_the_code() -> tuple[str, ...]:
    """All texts that stand in the code, with … for what is filled in."""
    texts = []
    for path in (ROOT / "sam_av").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return tuple(texts)


def is_in_the_code(error: str) -> bool:
    """Whether an error's text, with … for names and numbers, is a part of a text in the code."""
    pattern = ".*?".join(re.escape(part.strip(" '")) for part in error.split("…") if part.strip(" '"))
    return any(re.search(pattern, text, re.DOTALL) for text in texts_of_the_code())


TROUBLE = [
    pytest.param(" ".join(block.code.split()), id=str(block.line))
    for block in blocks_of(TEXTS[ROOT / "docs" / "troubleshooting.md"])
    if block.language == "text"
]


@pytest.mark.parametrize("error", TROUBLE)
def test_errors_that_are_explained_are_those_of_the_code(error):
    assert is_in_the_code(error), error


def test_a_text_that_is_in_no_code_would_be_found_out():
    assert is_in_the_code("Wrong base: the adapter was trained on …")
    assert not is_in_the_code("Wrong face: the adapter was trained on …")


def test_figures_of_tables_are_those_of_the_results():
    """The page on performance quotes whole cells of benchmarks/results, and nothing else as milliseconds or MiB."""
    page = TEXTS[ROOT / "docs" / "performance.md"]
    results = "\n".join(path.read_text() for path in (ROOT / "benchmarks" / "results").glob("*.md"))
    rows = [line for line in page.splitlines() if re.match(r"\| (\d+ px, |transformers, |sam-av, )", line)]
    assert len(rows) == 9
    for row in rows:
        for number in re.findall(r"\b\d+(?:\.\d+)?(?:e-\d+)?\b", row.partition("px,")[2] or row):
            assert re.search(rf"\| {re.escape(number)} ", results), number


@pytest.mark.parametrize("base", ["ViT-B", "ViT-L", "ViT-H"])
def test_counts_on_the_page_of_methods(base):
    """Counted anew on the meta device."""
    from transformers import SamConfig, SamModel

    from sam_av.audio import VGGish
    from sam_av.sam import Base

    width, depth, heads = {"ViT-B": (768, 12, 12), "ViT-L": (1024, 24, 16), "ViT-H": (1280, 32, 16)}[base]
    vision = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads}
    with torch.device("meta"):
        model = SamAV(Base(SamModel(SamConfig(vision_config=vision))), VGGish())
        for number, method in enumerate(("sama", "ap-sam", "sama+ap-sam")):
            model.add_adapter(f"adapter-{number}", SamAVConfig(method=method))
    rows = [line for line in TEXTS[ROOT / "docs" / "methods.md"].splitlines() if re.match(r"\| `\S+`.* \| \d", line)]
    column = ["ViT-B", "ViT-L", "ViT-H"].index(base) + 2
    counts = [model.adapters[f"adapter-{number}"].num_audio_parameters() for number in range(3)]
    assert [row.split("|")[column].strip() for row in rows] == [f"{count:,}" for count in counts]
