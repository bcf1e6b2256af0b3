import pickle

import pytest

from sam_av.data import DataProblems, Problem
from sam_av.data.problems import problems_of, summarize

PROBLEMS = [*(Problem("missing file", f"clip{k}", f"wanted {k}.png") for k in range(7)), Problem("bad row", "x", "why")]


def test_faults_are_counted_and_the_first_of_each_kind_are_shown():
    lines = summarize(PROBLEMS).splitlines()
    assert lines[0] == "missing file (7), bad row (1)"
    assert lines[1] == "  missing file: clip0: wanted 0.png"
    assert lines[5:] == [
        "  missing file: clip4: wanted 4.png",
        "  missing file: ... and 2 more",
        "  bad row: x: why",
    ]


def test_the_error_has_the_full_list_and_survives_pickling():
    error = pickle.loads(pickle.dumps(DataProblems("S4 (train)", PROBLEMS, "Mend them.")))
    assert error.problems == PROBLEMS
    assert str(error).startswith("S4 (train): missing file (7), bad row (1)\n")
    assert str(error).endswith("\nMend them.")


def test_what_goes_wrong_with_a_clip_is_its_fault():
    with pytest.raises(DataProblems) as error, problems_of("unreadable sound", "street", "S4"):
        raise ValueError("it is cut off")
    assert error.value.problems == [Problem("unreadable sound", "street", "it is cut off")]
