"""The words of `run:` select studies, groups or all studies."""

import pytest

from ntkpipe.selection import select
from ntkpipe.study import StudyError

STUDY = """
title: A
question: B?
dataset: {kind: points, x: [[1.0]], y: [[1.0]]}
model: {}
training: {learning_rate: 0.1, steps: 2}
widths: [4]
"""


@pytest.fixture
def folder(tmp_path):
    """Four studies, two of them of the group `mine`."""
    keys = {
        "b": "",
        "a": "",
        "d": "group: mine\norder: 2",
        "c": "group: mine\norder: 1",
    }
    for name, more in keys.items():
        (tmp_path / f"{name}.yaml").write_text(STUDY + more)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("all", "cdab"),
        (["core"], "ab"),
        (["mine"], "cd"),
        ("mine", "cd"),
        (["b"], "b"),
        (["b", "mine"], "cdb"),
        (["mine", "d", "d"], "cd"),
    ],
)
def test_words_name_studies_and_groups_in_the_order_of_the_page(folder, words, names):
    assert [*select(folder, words)] == [*names]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("miin", "did you mean mine"),
        ("zzz", "the studies a, b, c, d and the groups all, core, mine"),
        ("../../etc/passwd", "no study or group"),
        (3, "no study or group"),
    ],
)
def test_an_unknown_word_is_reported_with_the_valid_ones(folder, word, says):
    with pytest.raises(StudyError, match=says) as error:
        select(folder, ["a", word])
    assert len(error.value.faults) == 1


def test_all_faults_are_raised_at_once(folder):
    (folder / "a.yaml").write_text(STUDY + "seed: -1")
    with pytest.raises(StudyError) as error:
        select(folder, ["core", "zzz"])
    assert len(error.value.faults) == 2


def test_a_fault_of_another_group_stops_nothing(folder):
    (folder / "d.yaml").write_text(STUDY + "group: mine\nseed: -1")
    assert [*select(folder, ["core"])] == ["a", "b"]


def test_a_folder_without_studies_is_named(tmp_path):
    with pytest.raises(StudyError, match="no study file"):
        select(tmp_path, "all")
