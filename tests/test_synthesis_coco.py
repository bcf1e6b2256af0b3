"""COCO and LVIS files: read as a stream, with every fault counted under its cause."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import synthesis_sources as made

from sam_av.data.shapes import draw_shape, encode_mask
from sam_av.synthesis.coco import CocoPictures, LvisPictures
from sam_av.synthesis.json_stream import read_arrays

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

SQUARE = [2.0, 2.0, 20.0, 2.0, 20.0, 20.0, 2.0, 20.0]


@pytest.fixture
def coco(tmp_path):
    """Two pictures of 64 x 64, and a function that writes annotations to them and opens the source."""
    path = made.write_coco(tmp_path, made.draw(2))
    data = json.loads(path.read_text())

    def write(*annotations: dict, **changes) -> CocoPictures:
        rows = [{"image_id": 1, "category_id": 1, "iscrowd": 0, "area": 324.0, **row} for row in annotations]
        path.write_text(json.dumps({**data, "annotations": rows, **changes}))
        return CocoPictures(str(path), str(tmp_path / "images"))

    return write


def everything(_name: str) -> bool:
    return True


class TestStream:
    @pytest.mark.parametrize("indent", [None, 1])
    def test_arrays_come_as_they_are(self, tmp_path, indent):
        value = {
            "info": {"a": '}{["x\\" é', "n": {"m": [1, {"k": []}]}},
            "none": None, "number": -1.5e3, "empty": [],
            "images": [{"file": 'a}\\"{.jpg', "d": {"e": {"f": [1]}}}, {}],
            "annotations": [{"id": k, "segmentation": [[0.5] * 9, [1]]} for k in range(50)],
        }  # fmt: skip
        path = tmp_path / "a.json"
        path.write_text(json.dumps(value, indent=indent, ensure_ascii=False), encoding="utf-8")
        found: dict[str, list] = {}
        content = path.read_bytes()
        for key, place, text in read_arrays(path):
            assert content[place : place + len(text)] == text
            found.setdefault(key, []).append(json.loads(text))
        assert found == {"images": value["images"], "annotations": value["annotations"]}

    def test_what_is_cut_by_the_end_of_a_block_is_read_whole(self, tmp_path, monkeypatch):
        monkeypatch.setattr("sam_av.synthesis.json_stream._BLOCK", 7)
        path = tmp_path / "a.json"
        path.write_text(json.dumps({"a": [{"x": "y" * 30, "z": k} for k in range(20)], "b": 1234567, "c": [{}]}))
        assert [json.loads(text).get("z") for _, _, text in read_arrays(path)] == [*range(20), None]

    @pytest.mark.parametrize("text", ["", "[1, 2]", '{"a": [{"b": 1}, {"c"', '{"a": [{"b": 1} {"c": 2}] "d": 3', "no"])
    def test_a_file_that_is_cut_off_or_none_is_an_error(self, tmp_path, text):
        path = tmp_path / "a.json"
        path.write_text(text)
        with pytest.raises(ValueError, match=r"a\.json' is no whole JSON file: at byte"):
            list(read_arrays(path))


class TestFaults:
    @pytest.mark.parametrize(
        ("row", "cause"),
        [
            ({"category_id": 77}, "annotation of an unknown category id"),
            ({"image_id": 77}, "annotation without an image"),
            ({"id": 1}, "duplicate annotation id"),
            ({"segmentation": [[1.0, 1.0, 5.0, 5.0]]}, "polygon with fewer than 3 points"),
            ({"segmentation": []}, "polygon with fewer than 3 points"),
            ({"segmentation": [[*SQUARE[:-1], 99.0]]}, "polygon out of bounds"),
            ({"segmentation": [[-30.0, *SQUARE[1:]]]}, "polygon out of bounds"),
            ({"segmentation": [["a", "b"]]}, "damaged outline"),
            ({"segmentation": [[1.0, 2.0, 3.0]]}, "damaged outline"),
            (
                {"segmentation": encode_mask(np.ones((32, 64), bool))},
                "run-length encoding of another size than its picture",
            ),
            ({"segmentation": {"size": [64, 64], "counts": [10, 5]}}, "damaged outline"),
            ({"image_id": "1"}, "bad annotation"),
            ({"category_id": None}, "bad annotation"),
        ],
    )
    def test_an_annotation_that_cannot_be_used_is_counted_and_the_others_are_read(self, coco, row, cause):
        source = coco({"id": 1, "segmentation": [SQUARE]}, {"id": 2, "segmentation": [SQUARE], **row})
        assert [thing.id for thing in source.things(everything)] == ["coco-1"]
        assert dict(source.tally.counts) | {cause: 1} == {**dict.fromkeys(source.tally.counts, 0), cause: 1}

    def test_missing_fields(self, coco):
        source = coco({"id": 1, "segmentation": [SQUARE]}, {"id": 2})
        assert len(source.things(everything)) == 1
        assert +source.tally.counts == {"annotation without an outline": 1}

    @pytest.mark.parametrize(
        "box", [{}, {"segmentation": None}, {"segmentation": []}, {"segmentation": [[*SQUARE[:-1], 99.0]]}]
    )
    def test_what_has_no_outline_is_there_all_the_same(self, coco, box):
        source = coco({"id": 1, "segmentation": [SQUARE]}, {"id": 2, **box}, {"id": 3, "category_id": 2, **box})
        (thing,) = source.things(everything)
        assert thing.picture.partial == {"dog", "bee"}, "not every dog has a mask"
        assert not thing.picture.lacks(["bee"]) and not thing.picture.lacks([" BEE"])
        assert thing.picture.lacks(["car"])

    def test_pictures_without_a_file_or_a_size_and_twice_the_same_id(self, coco):
        images = [
            {"id": 1, "file_name": "000000000001.jpg", "height": 64, "width": 64},
            {"id": 1, "file_name": "000000000002.jpg", "height": 64, "width": 64},
            {"id": 2, "file_name": "lost.jpg", "height": 64, "width": 64},
            {"id": 3, "file_name": "000000000002.jpg"},
            {"file_name": "nameless.jpg"},
        ]
        rows = [{"id": k, "image_id": k, "segmentation": [SQUARE]} for k in (1, 2, 3)]
        source = coco(*rows, images=images)
        assert [thing.picture.path.name for thing in source.things(everything)] == ["000000000001.jpg"]
        counts = source.tally.counts
        assert counts["duplicate image id"] == counts["missing picture"] == counts["picture without a size"] == 1
        assert counts["bad entry of images"] == 1

    def test_a_name_with_folders_is_tried_as_it_is_before_its_end(self, coco, tmp_path):
        images = tmp_path / "images"
        for k, name in enumerate(("a/b/x.jpg", "b/x.jpg", "x.jpg", "b/y.jpg", "y.jpg", "z.jpg")):
            (images / name).parent.mkdir(parents=True, exist_ok=True)
            (images / name).write_bytes(bytes(k))
        names = ["a/b/x.jpg", "c/b/x.jpg", "c/c/x.jpg", "c/b/y.jpg", "http://set.org/train/z.jpg"]
        pictures = [{"id": k, "file_name": name, "height": 64, "width": 64} for k, name in enumerate(names)]
        rows = [{"id": k, "image_id": k, "segmentation": [SQUARE]} for k in range(len(names))]
        found = [
            thing.picture.path.relative_to(images).as_posix()
            for thing in coco(*rows, images=pictures).things(everything)
        ]
        assert found == ["a/b/x.jpg", "b/x.jpg", "x.jpg", "b/y.jpg", "z.jpg"]

    @pytest.mark.parametrize("name", ["../outside.jpg", "a/../../outside.jpg", "{root}/outside.jpg", ".."])
    def test_a_name_does_not_lead_out_of_the_folder(self, coco, tmp_path, name):
        (tmp_path / "outside.jpg").write_bytes(b"x")
        images = [{"id": 1, "file_name": name.format(root=tmp_path), "height": 64, "width": 64}]
        source = coco({"id": 1, "segmentation": [SQUARE]}, images=images)
        assert not source.things(everything)
        assert source.tally.counts["name that leads out of the folder"] == 1

    def test_other_files_are_refused(self, tmp_path, coco):
        (tmp_path / "other.json").write_text('{"videos": [{"id": 1}]}')
        with pytest.raises(ValueError, match="has no `images` or no `categories`"):
            CocoPictures(str(tmp_path / "other.json"), str(tmp_path))
        with pytest.raises(FileNotFoundError, match="There is no annotation file"):
            CocoPictures(str(tmp_path / "lost.json"), str(tmp_path))
        with pytest.raises(FileNotFoundError, match="There is no folder"):
            CocoPictures(str(tmp_path / "other.json"), str(tmp_path / "lost"))


class TestThings:
    def test_outlines_areas_and_flags(self, coco):
        mask = np.zeros((64, 64), bool)
        mask[5:25, 5:25] = True
        edge = [0.0, 0.0, 20.0, 0.0, 20.0, 20.0]
        source = coco(
            {"id": 1, "segmentation": [SQUARE]},
            {"id": 2, "segmentation": encode_mask(mask), "iscrowd": 1, "area": 400},
            {"id": 3, "segmentation": [edge], "category_id": 2, "area": None},
        )
        first, crowd, cut = source.things(everything)
        assert (first.name, first.area, first.crowd, first.truncated) == ("dog", 324 / 4096, False, False)
        assert crowd.crowd and np.array_equal(draw_shape(crowd.outline, (64, 64)), mask)
        assert cut.truncated and cut.area == pytest.approx(200 / 4096)
        assert source.names() == {"dog": 2, "bee": 1}
        assert [thing.id for thing in source.things("bee".__eq__)] == ["coco-3"]

    def test_what_is_known_to_be_absent(self, coco, tmp_path):
        source = coco({"id": 1, "segmentation": [SQUARE]})
        (thing,) = source.things(everything)
        assert thing.picture.lacks(["bee"]) and not thing.picture.lacks(["dog"]) and not thing.picture.lacks([])
        made.write_lvis(tmp_path / "lvis", made.draw(3))
        lvis = LvisPictures(str(tmp_path / "lvis/instances.json"), str(tmp_path / "lvis"))
        for thing in lvis.things(everything):
            assert not thing.picture.lacks([thing.name]) and not thing.picture.lacks(["what nobody looked for"])
            assert any(thing.picture.lacks([name]) for name in made.LVIS_NAMES.values())

    def test_several_files_are_one_source(self, tmp_path):
        paths = [made.write_coco(tmp_path / str(k), made.draw(2, seed=k), first=10 * k) for k in (1, 2)]
        for picture in (tmp_path / "2/images").iterdir():
            picture.rename(tmp_path / "1/images" / picture.name)
        source = CocoPictures([str(path) for path in paths], str(tmp_path / "1/images"))
        things = source.things(everything)
        assert len({thing.picture.id for thing in things}) == 4
        assert source.names().total() == len(things)

    def test_each_file_numbers_its_annotations_from_one(self, tmp_path):
        """As train and val do; a file that is named twice is read once."""
        paths = [str(made.write_coco(tmp_path / str(k), made.draw(2, seed=k))) for k in (1, 2)]
        for k, path in enumerate(paths, start=1):
            data = json.loads(Path(path).read_text())
            for image in data["images"]:
                image["file_name"] = f"{k}/{image['file_name']}"
            Path(path).write_text(json.dumps(data))
            shutil.copytree(tmp_path / f"{k}/images", tmp_path / f"all/{k}")
        alone = [CocoPictures(path, str(tmp_path / "all")).things(everything) for path in paths]
        source = CocoPictures([*paths, paths[0]], str(tmp_path / "all"))
        things = source.things(everything)
        assert [thing.picture.path for thing in things] == [thing.picture.path for of in alone for thing in of]
        assert source.names().total() == len(things) == sum(map(len, alone)) and not source.tally.counts.total()


@pytest.mark.slow
def test_a_file_of_the_size_of_lvis_is_indexed_in_a_minute_and_two_gigabytes(tmp_path):
    import synthesis_scale

    synthesis_scale.write_annotations(tmp_path / "large.json", 1_200_000)
    assert (tmp_path / "large.json").stat().st_size > 1e9
    measured = synthesis_scale.index_in_fresh_process(tmp_path / "large.json", tmp_path)
    assert measured["processor"] < 60 and measured["memory"] < 2048
