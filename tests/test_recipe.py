"""Recipes: read from YAML, changed by flags, and wrong ones refused with what was probably meant."""

from pathlib import Path

import pytest
import yaml

from sam_av import SamAVConfig
from sam_av.augment import Augmentation
from sam_av.cli import build_parser
from sam_av.data import Scenes
from sam_av.data.open import LAYOUTS
from sam_av.recipe import Recipe

ROOT = Path(__file__).parent.parent
LEAST = {"data": "scenes:4", "base": "builtin:demo"}


def test_a_recipe_survives_its_own_yaml(tmp_path):
    recipe = Recipe(**LEAST, adapter={"adapter_layers": [2, 3]}, learning_rate=3e-4)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    assert Recipe.load(path, {}) == recipe
    assert recipe.differences(Recipe.load(path, {"workers": 7, "epochs": 3})) == ["epochs (3 then, 80 now)"]


def test_changes_win_and_pairs_are_merged(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**LEAST, "epochs": 3, "adapter": {"loss": "bce", "audio_dim": 128}}))
    recipe = Recipe.load(path, {"epochs": 5, "adapter": {"loss": "bce+dice"}})
    assert recipe.epochs == 5 and recipe.adapter == {"loss": "bce+dice", "audio_dim": 128}


def test_yaml_reads_2e_4_as_a_text_and_the_recipe_as_a_number(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("data: scenes:4\nbase: builtin:demo\nlearning_rate: 2e-4\nmax_grad_norm: 1\n")
    recipe = Recipe.load(path, {})
    assert recipe.learning_rate == 2e-4 and recipe.max_grad_norm == 1.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epoch": 3}, "no field 'epoch'; did you mean 'epochs'"),
        ({"adapter": {"prompt_token": 3}}, "adapter has no field 'prompt_token'; did you mean 'prompt_tokens'"),
        ({"card": {"licence": "mit"}}, "card has no field 'licence'; did you mean 'license'"),
        ({"adapter": {"method": "sama"}}, "method stands beside `adapter`"),
        ({"epochs": "many"}, "epochs must be int, not 'many'"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"fraction": 0}, "fraction is a share above 0"),
        ({"precision": "fp8"}, "precision must be one of no, bf16, fp16"),
        ({"data": ""}, "needs `data`"),
        ({"streaming": True, "validation": None, "max_steps": 5}, "say max_steps and save_every"),
        ({"streaming": True, "max_steps": 5, "save_every": 2}, "say validation: null"),
        ({"card": {"metrics": []}}, "metrics is filled in"),
        ({"options": {"seed": 1}}, "seed stands beside `options`"),
        ({"augmentation": {"flip": "often"}}, "augmentation: flip must be float, not 'often'"),
        ({"learning_rate": 0, "final_learning_rate": 0}, "learning rate must fall"),
        ({"learning_rate": 1e-9}, "learning rate must fall"),
    ],
)
def test_wrong_recipes_say_what_is_wrong(settings, words):
    with pytest.raises(ValueError, match=words):
        Recipe.load(None, {**LEAST, **settings})


def test_words_that_yaml_and_shells_read_otherwise():
    recipe = Recipe(**LEAST, precision=False, validation="null", augmentation={"flip": "5e-1"})
    assert (recipe.precision, recipe.validation, recipe.augmentation) == ("no", None, {"flip": 0.5})


def test_a_file_that_is_no_recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    with pytest.raises(FileNotFoundError, match="There is no recipe '.*recipe.yaml'"):
        Recipe.load(path, {})
    path.write_text("- just\n- a list\n")
    with pytest.raises(ValueError, match="must hold names and values"):
        Recipe.load(path, {})
    path.write_text("data: [unclosed")
    with pytest.raises(ValueError, match="is no YAML"):
        Recipe.load(path, {})


def test_every_field_has_a_flag_of_its_type():
    words = "train r.yaml --batch-size 4 --learning-rate 1e-3 --no-compile --categories dog cat"
    pairs = "--adapter prompt_tokens=4 --adapter adapter_layers=[2,3]"
    parsed = build_parser().parse_args(f"{words} {pairs}".split())
    assert (parsed.batch_size, parsed.learning_rate, parsed.compile) == (4, 1e-3, False)
    assert parsed.categories == ["dog", "cat"]
    assert parsed.adapter == {"prompt_tokens": 4, "adapter_layers": [2, 3]}
    assert not hasattr(parsed, "epochs")  # what is not given leaves the file's value alone


def test_a_pair_without_a_sign_is_refused(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["train", "--adapter", "prompt_tokens"])
    assert "takes NAME=VALUE" in capsys.readouterr().err


OF_TRAININGS = [path for path in (ROOT / "examples/recipes").glob("*.yaml") if not path.stem.startswith("synthesize-")]


@pytest.mark.parametrize("path", sorted(OF_TRAININGS), ids=lambda path: path.stem)
def test_the_recipes_that_users_copy_are_recipes(path):
    recipe = Recipe.load(path, {})
    settings = {"method": recipe.method or "sama", "image_size": recipe.image_size, **recipe.adapter}
    config = SamAVConfig(**settings)  # refuses what no adapter has
    Augmentation.from_dict(recipe.augmentation)
    if path.stem.startswith("demo-"):
        scenes = Scenes(**recipe.options)
        begins = (recipe.base, config.audio_encoder) == ("builtin:demo", "builtin:demo-audio")
        assert begins or recipe.init_from in ("outputs/demo-sama", "outputs/demo-ap-sam")
        assert scenes.settings.size == 128
    else:
        assert recipe.layout in LAYOUTS and recipe.test == "test"


def test_recipes_as_published():
    """Learning rates, epochs, batch and size of SAMA-AVS, with the two GPUs that its batch of two was for."""
    for name in ("s4", "ms3", "synthetic"):
        recipe = Recipe.load(ROOT / f"examples/recipes/{name}.yaml", {})
        assert (recipe.base, recipe.image_size, recipe.batch_size) == ("facebook/sam-vit-huge", 1024, 2)
        assert (recipe.learning_rate, recipe.final_learning_rate, recipe.precision) == (2e-4, 1e-7, None)
        assert recipe.epochs == (400 if name == "ms3" else 80) and not recipe.augmentation
