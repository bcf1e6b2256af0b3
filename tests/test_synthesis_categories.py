"""The category map: the shipped one against the public label lists, maps of one's own, proposals, the audit."""

import re
from pathlib import Path

import pytest
import synthesis_sources as made
import yaml
from PIL import Image
from test_synthesis import settings

from sam_av.cli import main
from sam_av.synthesis import CategoryMap
from sam_av.synthesis.categories import LINKS
from sam_av.synthesis.proposals import find_candidates

LABELS = {
    path.stem: path.read_text(encoding="utf-8").splitlines() for path in Path(__file__).parent.glob("labels/*.txt")
}
PICTURES, SOUNDS = ("lvis", "coco", "open-images"), ("vggsound", "audioset")


def shipped() -> CategoryMap:
    return CategoryMap.load("builtin")


class TestShipped:
    def test_the_label_lists_are_whole(self):
        sizes = {name: len(labels) for name, labels in LABELS.items()}
        assert sizes == {"lvis": 1203, "coco": 80, "open-images": 601, "vggsound": 309, "audioset": 527}
        assert all(len(set(labels)) == len(labels) for labels in LABELS.values())

    def test_it_covers_at_least_46_categories_of_every_pairing_that_is_promised(self):
        linked = [
            category
            for category in shipped().categories.values()
            if category.sounds.get("vggsound") and any(category.pictures.get(name) for name in PICTURES)
        ]
        assert len(linked) >= 46
        assert len([category for category in linked if category.link == "sure"]) >= 46

    def test_every_name_is_in_a_public_list(self):
        category_map = shipped()
        for entry in (*category_map.categories.values(), *category_map.excluded):
            assert set(entry.pictures) <= set(PICTURES) and set(entry.sounds) <= set(SOUNDS)
            for vocabulary, names in (*entry.pictures.items(), *entry.sounds.items()):
                assert set(names) <= set(LABELS[vocabulary]), entry

    def test_what_is_not_sure_says_why(self):
        for category in shipped().categories.values():
            assert category.link in LINKS[:2]
            assert bool(category.note) == (category.link == "likely"), category.name
        assert all(exclusion.reason for exclusion in shipped().excluded)

    def test_names_that_mislead(self):
        category_map = shipped()
        assert category_map.of_picture("coco", "keyboard").name == "computer keyboard"
        assert category_map.of_picture("coco", "mouse").name == "computer mouse"
        assert category_map.of_picture("open-images", "Mouse").name == "mouse"
        assert category_map.of_sound("vggsound", "typing on computer keyboard").link == "likely"
        assert category_map.of_picture("lvis", "flute_glass") is None
        assert "glass" in category_map.reason_against("lvis", "flute_glass")
        assert category_map.of_sound("vggsound", "cattle, bovinae cowbell") is None
        assert category_map.reason_against("vggsound", "playing piano") is None


def map_of(**categories) -> str:
    return yaml.safe_dump({"categories": categories})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("just text", "must hold `categories`"),
        ("categories: [dog]", "must hold `categories`"),
        ("categories: {dog: [", "is no YAML"),
        ("categories: {}\nexclude: []", "has no place for 'exclude'"),
        (map_of(dog={"picture": {}}), "dog has no field 'picture'; did you mean 'pictures'"),
        (map_of(dog={"pictures": {"coco": "dog"}}), "holds lists of names by vocabulary"),
        (map_of(dog={"pictures": {"coco": ["dog", "Dog"]}}), "names 'dog' (coco) twice"),
        (map_of(dog={"link": "certain"}), "link is one of sure, likely, proposed, not 'certain'"),
        (
            map_of(dog={"pictures": {"coco": ["dog"]}}, wolf={"pictures": {"coco": ["DOG"]}}),
            "has 'dog' (coco, pictures) in the categories 'dog' and 'wolf'",
        ),
        (
            map_of(dog={"sounds": {"v": ["bark"]}}) + "excluded: [{sounds: {v: [bark]}, reason: alike}]",
            "has 'bark' (v, sounds) in the category 'dog' and under `excluded`",
        ),
        ("categories: {}\nexcluded: [{pictures: {coco: [person]}}]", "needs a `reason`"),
    ],
)
def test_wrong_maps_say_what_is_wrong(tmp_path, text, words):
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(words)):
        CategoryMap.load(path)


def test_names_differ_by_more_than_case_and_underscores(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text(map_of(**{"race car": {"pictures": {"lvis": ["race_car"]}, "sounds": ["engines"], "link": "sure"}}))
    category_map = CategoryMap.load(path)
    assert category_map.of_picture("lvis", "Race Car").name == "race car"
    assert category_map.of_picture("coco", "race_car") is None, "a name is of one vocabulary"
    assert category_map.of_picture("folder", "race_car").name == "race car", "a folder called like the category"
    assert category_map.of_sound("folder", "engines").name == "race car"
    assert category_map.names_of("race car", "folder") == ("race car",)


class TestProposals:
    def test_candidates_of_the_public_lists(self):
        names = [(vocabulary, name) for vocabulary in PICTURES for name in LABELS[vocabulary]]
        candidates = find_candidates(names, [("vggsound", label) for label in LABELS["vggsound"]])
        found = {thing: ({n for _, n in seen}, {n for _, n in heard}) for thing, (seen, heard) in candidates.items()}
        assert found["dog"][0] == {"dog", "puppy", "Dog"} and "dog barking" in found["dog"][1]
        assert found["violin"][1] == {"playing violin, fiddle"}, "by a synonym"
        assert find_candidates([("a", "electric_razor")], [("b", "eletric razor shaving")]), "misspelt"
        assert found["fire engine"][1] == {"fire truck siren"}
        assert found["race car"][1] == {"race car, auto racing"}, "the longer name goes first"
        assert found["mobile phone"][0] == {"cellular_telephone", "cell phone", "Mobile phone"}
        assert "flute glass" not in found

    @pytest.fixture
    def recipe(self, tmp_path):
        made.write_coco(tmp_path / "coco", made.draw(4))
        made.write_vggsound(tmp_path / "vgg", 3)
        (tmp_path / "none.yaml").write_text("categories: {}\n")
        chosen = settings(tmp_path, category_map=str(tmp_path / "none.yaml"), output=str(tmp_path / "set"))
        chosen |= {"pictures": chosen["pictures"][:1], "sounds": chosen["sounds"][:1]}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(chosen))
        return tmp_path / "recipe.yaml"

    def test_a_proposal_links_nothing_until_a_person_says_so(self, tmp_path, recipe, capsys):
        proposed = tmp_path / "maps/mine.yaml"
        assert main(["synthesize", str(recipe), "--propose", str(proposed)]) == 0
        assert "candidates are in" in capsys.readouterr().out
        assert set(CategoryMap.load(proposed).categories) == {"dog", "bee", "car", "bell"}
        assert main(["synthesize", str(recipe), "--category-map", str(proposed)]) == 1
        assert "proposed but not looked at: bee, bell, car, dog" in capsys.readouterr().err
        proposed.write_text(proposed.read_text().replace("link: proposed", "link: sure", 2))
        assert main(["synthesize", str(recipe), "--category-map", str(proposed), "--splits", "train=8"]) == 0
        assert main(["synthesize", str(recipe), "--propose", str(proposed)]) == 1
        assert "is there already" in capsys.readouterr().err

    def test_a_proposal_loses_no_link_of_the_map_that_it_adds_to(self, tmp_path, recipe, capsys):
        given = tmp_path / "given.yaml"
        given.write_text(
            "categories:\n"
            "  bee: {pictures: {coco: [bee]}, sounds: {vggsound: ['bee, wasp, etc. buzzing']}, link: sure}\n"
            "  dog: {pictures: {lvis: [dog]}, sounds: {audioset: [Dog]}, link: likely, note: As a rule.}\n"
            "  car: {pictures: {coco: [car]}, sounds: {vggsound: [car passing by]}, link: proposed}\n"
            "excluded: [{pictures: {coco: [bell]}, reason: It is still.}]\n"
        )
        for k, source in enumerate((given, "builtin")):
            proposed = tmp_path / f"mine{k}.yaml"
            assert main(["synthesize", str(recipe), "--category-map", str(source), "--propose", str(proposed)]) == 0
            earlier, now = CategoryMap.load(source), CategoryMap.load(proposed)
            assert all(now.categories[name] == category for name, category in earlier.categories.items())
            assert now.excluded == earlier.excluded
        now = CategoryMap.load(tmp_path / "mine0.yaml")
        assert set(now.categories) == {"bee", "dog", "car", "dog (proposed)"}
        assert now.categories["dog (proposed)"].pictures == {"coco": ("dog",)}
        assert now.of_picture("coco", "dog") is None and now.of_picture("coco", "bee").name == "bee"

    def test_what_has_no_counterpart_is_listed(self, tmp_path, recipe):
        table = tmp_path / "vgg/vggsound.csv"
        table.write_text(table.read_text().replace("dog barking", "wind noise").replace("dog growling", "hail"))
        main(["synthesize", str(recipe), "--propose", str(tmp_path / "mine.yaml")])
        text = (tmp_path / "mine.yaml").read_text()
        assert "# Without a counterpart, pictures:\n#   dog (coco, " in text
        assert "#   wind noise (vggsound, " in text and "#   hail (vggsound, 1)" in text


class TestAudit:
    @pytest.mark.parametrize("layout", ["avs-synthetic", "manifest"])
    def test_the_page_shows_and_plays_samples_of_each_category(self, tmp_path, capsys, layout):
        made.write_coco(tmp_path / "coco", made.draw(8))
        made.write_vggsound(tmp_path / "vgg", 3)
        (tmp_path / "map.yaml").write_text(made.map_text() + "    link: likely\n    note: Mind the <size>.\n")
        chosen = settings(tmp_path, output=str(tmp_path / "set"), layout=layout)
        chosen |= {
            "pictures": chosen["pictures"][:1],
            "sounds": chosen["sounds"][:1],
            "splits": {"train": 15, "test": 3},
        }
        if layout == "manifest":
            chosen |= {"mixtures": 0.5, "silent": 0.2}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(chosen))
        assert main(["synthesize", str(tmp_path / "recipe.yaml"), "--audit"]) == 0
        page = (tmp_path / "set/audit/index.html").read_text()
        for name in made.CATEGORIES if layout == "avs-synthetic" else ("mixture", "silent"):
            assert f"<h2>{name}</h2>" in page
        figures = page.count("<figure>")
        assert 6 < figures <= 24 and page.count("<audio") == figures and page.count("data:audio/wav") == figures
        if layout == "avs-synthetic":
            assert "Link: likely. Mind the &lt;size&gt;." in page and "calls likely: bell" in capsys.readouterr().out
        with Image.open(tmp_path / "set/audit/sheet.png") as sheet:
            assert sheet.width > 600
        assert not (tmp_path / "set/annotations.csv").exists() and not (tmp_path / "set/manifest.jsonl").exists()
        assert main(["synthesize", str(tmp_path / "recipe.yaml")]) == 0, "the set goes beside its audit"
