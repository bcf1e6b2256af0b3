import pytest

from sam_av.data.disk import Disk, check_fields, read_table, rows_of_split


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.txt").touch()
    return Disk(tmp_path)


def test_names_lead_to_paths_inside(disk):
    assert disk.path("inner/a.txt") == disk.root / "inner" / "a.txt"
    assert disk.path("inner/../inner/./a.txt") == disk.root / "inner" / "a.txt"
    assert disk.path(str(disk.root / "inner")) == disk.root / "inner"


@pytest.mark.parametrize("name", ["../a.txt", "inner/../../a.txt", "/etc/passwd", "..", "inner/../../../etc/passwd"])
def test_names_cannot_lead_out(disk, name):
    with pytest.raises(ValueError, match="leads out of"):
        disk.path(name)


def test_a_folder_beside_with_a_similar_name_is_outside(disk):
    with pytest.raises(ValueError, match="leads out of"):
        disk.path(f"../{disk.root.name}2/a.txt")


def test_a_root_may_be_told_by_going_up(disk, monkeypatch):
    monkeypatch.chdir(disk.root / "inner")
    above = Disk("..")
    assert above.has(above.path("inner/a.txt"))


def test_links_of_the_owner_are_followed(disk, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "b.txt").touch()
    (disk.root / "link").symlink_to(elsewhere)
    assert disk.has(disk.path("link/b.txt"))


def test_files_are_looked_up_and_what_is_missing_is_told_by_folder(disk):
    there, gone = disk.path("inner/a.txt"), [disk.path(f"inner/{k}.txt") for k in range(3)]
    assert disk.has(there)
    assert disk.missing([there]) == []
    nowhere = disk.path("no/x.txt")
    assert disk.missing([there, *gone, nowhere]) == [
        "wanted inner/0.txt and 2 more beside it; that folder holds a.txt",
        "wanted no/x.txt; that folder is empty or not there",
    ]


def test_a_folder_is_listed_once(disk):
    assert disk.names(disk.root / "inner") == {"a.txt"}
    (disk.root / "inner" / "late.txt").touch()
    assert not disk.has(disk.root / "inner" / "late.txt")
    assert Disk(disk.root).has(disk.root / "inner" / "late.txt")


def test_tables_of_all_origins_are_read(tmp_path):
    path = tmp_path / "a.csv"
    for text in ("name,split\na,train\nb,val\n", "\ufeffname, split\r\na, train\r\nb, val\r\n"):
        path.write_text(text, encoding="utf-8")
        assert read_table(path, ["name", "split"]) == [{"name": "a", "split": "train"}, {"name": "b", "split": "val"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lacks the columns name; its first line names none"),
        (b"id,split\na,b\n", "lacks the columns name; its first line names id, split"),
        (b"name,split\n", "holds a header and no rows"),
        (b"name\n\xff\xfe\n", "is no CSV text in UTF-8"),
    ],
)
def test_tables_that_cannot_be_used_are_errors_that_name_them(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a.csv' {message}"):
        read_table(tmp_path / "a.csv", ["name"])


def test_the_rows_of_a_split_keep_their_order(tmp_path):
    rows = [{"name": name, "split": split} for name, split in (("a", "x"), ("b", "y"), ("c", "x"))]
    assert [row["name"] for row in rows_of_split(rows, "x", tmp_path)] == ["a", "c"]


def test_an_unknown_field_is_named_with_the_one_that_was_meant():
    with pytest.raises(ValueError, match=r"it has an unknown field 'catgory'; did you mean 'category'\?"):
        check_fields(["id", "catgory"], ["id", "category"], "it")
