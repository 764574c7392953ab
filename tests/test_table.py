"""A user's table: what is read, drawn, scaled and encoded, and what is refused."""

import csv
import io
import json
import os
import random

import jax
import numpy as np
import pandas as pd
import pytest
from helpers import run_stage

from ntkpipe import artifacts, cost, study
from ntkpipe.data import table
from ntkpipe.data.table import Csv
from ntkpipe.stages.job import USER_FILE

KEY = jax.random.key(0)
ROWS = 50
STUDY = {
    "title": "A",
    "question": "B?",
    "model": {},
    "training": {"learning_rate": 1.0, "steps": 1},
    "widths": [8],
}


@pytest.fixture
def frame():
    """50 different rows of three numbers and two columns of text."""
    draw = np.random.default_rng(1)
    numbers = draw.normal(size=(ROWS, 3)) * [1, 1e3, 1e-3] + [0, 5e3, 1]
    columns = dict(zip(("height", "mass", "y"), numbers.T, strict=True))
    colour = draw.permutation(["red", "green, dark", "blue"] * 16 + ["red", "blue"])
    kind = draw.permutation(["cat", "dog"] * 25)
    return pd.DataFrame(columns | {"colour": colour, "kind": kind})


@pytest.fixture
def bring(tmp_path):
    """A function that writes a table and describes it."""

    def write(content, **keys):
        path = tmp_path / "mine.csv"
        if isinstance(content, pd.DataFrame):
            content = content.to_csv(index=False)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Csv(path=str(path), **{"target": "y"} | keys)

    return write


def raw(frame, data):
    """The rows of the frame at which training and test points were drawn."""
    first = frame["height"].to_numpy()
    return [
        frame.iloc[[int(np.flatnonzero(first == x)[0]) for x in points[:, 0]]]
        for points in (data.x_train, data.x_test)
    ]


# ------------------------------------------------- what is drawn


def test_rows_are_drawn_without_replacement_and_as_written(bring, frame):
    data = bring(frame, standardise=False).sample(KEY)
    assert (len(data.x_train), len(data.x_test)) == (40, 10)
    train, test = raw(frame, data)
    assert sorted([*train.index, *test.index]) == [*range(ROWS)]
    for rows, x, y in (
        (train, data.x_train, data.y_train),
        (test, data.x_test, data.y_test),
    ):
        np.testing.assert_array_equal(x, rows[["height", "mass"]])
        np.testing.assert_array_equal(y, rows[["y"]])


def test_rows_depend_on_the_seed_only(bring, frame):
    one = bring(frame)
    again, other = one.sample(KEY), one.sample(jax.random.key(1))
    np.testing.assert_array_equal(one.sample(KEY).x_train, again.x_train)
    assert not np.isin(again.x_test[:, 0], other.x_test[:, 0]).all()


@pytest.mark.parametrize(("test", "count"), [(0.2, 10), (0.31, 16), (1, 1), (7, 7)])
def test_test_rows_are_a_share_or_a_number(bring, frame, test, count):
    data = bring(frame, test=test).sample(KEY)
    assert (len(data.x_train), len(data.x_test)) == (ROWS - count, count)


def test_a_subsample_has_the_same_test_rows_and_grows(bring, frame):
    whole = bring(frame, standardise=False).sample(KEY)
    for points in (1, 7, 40):
        part = bring(frame, standardise=False, points=points).sample(KEY)
        np.testing.assert_array_equal(part.x_train, whole.x_train[:points])
        np.testing.assert_array_equal(part.y_train, whole.y_train[:points])
        np.testing.assert_array_equal(part.x_test, whole.x_test)


@pytest.mark.parametrize("points", [None, 12])
def test_numbers_are_standardised_by_the_training_rows(bring, frame, points):
    keys = {"target": ["y", "mass"], "points": points}
    data = bring(frame, **keys).sample(KEY)
    train, test = raw(frame, bring(frame, **keys, standardise=False).sample(KEY))
    for names, ours in (
        (["height"], (data.x_train, data.x_test)),
        (["y", "mass"], (data.y_train, data.y_test)),
    ):
        mean, sd = train[names].mean(), train[names].std(ddof=0)
        np.testing.assert_allclose(ours[0], (train[names] - mean) / sd, atol=1e-12)
        np.testing.assert_allclose(ours[1], (test[names] - mean) / sd, atol=1e-12)
        np.testing.assert_allclose(ours[0].mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(ours[0].std(0), 1)


def test_two_targets_are_two_outputs_in_their_order(bring, frame):
    data = bring(frame, target=["mass", "y"], standardise=False).sample(KEY)
    train, _ = raw(frame, data)
    np.testing.assert_array_equal(data.y_train, train[["mass", "y"]])
    assert data.x_train.shape == (40, 1)


def test_a_target_of_text_becomes_classes(bring, frame):
    data = bring(frame, target="colour", standardise=False).sample(KEY)
    for rows, y in zip(raw(frame, data), (data.y_train, data.y_test), strict=True):
        one_hot = pd.get_dummies(rows["colour"]).to_numpy(float)
        np.testing.assert_allclose(y, one_hot - 1 / 3)
    data = bring(frame, target=["kind", "y"], standardise=False).sample(KEY)
    train, _ = raw(frame, data)
    np.testing.assert_array_equal(
        data.y_train[:, 0], 2.0 * (train["kind"] == "dog") - 1
    )
    np.testing.assert_array_equal(data.y_train[:, 1], train["y"])


@pytest.mark.parametrize("standardise", [True, False])
def test_features_of_text_are_one_hot(bring, frame, standardise):
    names = ["height", "colour", "kind"]
    data = bring(frame, features=names, standardise=standardise).sample(KEY)
    plain = bring(frame, features=names, standardise=False).sample(KEY)
    for rows, x in zip(raw(frame, plain), (data.x_train, data.x_test), strict=True):
        one_hot = pd.get_dummies(rows[["colour", "kind"]]).to_numpy(float)
        np.testing.assert_array_equal(x[:, 1:], one_hot)


def test_columns_of_text_are_features_only_if_named(bring, frame, caplog):
    with caplog.at_level("INFO", logger="ntkpipe"):
        assert bring(frame).sample(KEY).x_train.shape == (40, 2)
    assert "are no features: colour, kind" in caplog.text


def test_truth_values_are_text(bring, frame):
    frame["old"] = frame["y"] > 1
    assert bring(frame, features=["old", "mass"]).sample(KEY).x_train.shape == (40, 3)
    frame["y"] = np.arange(ROWS) % 2 == 0
    assert set(bring(frame).sample(KEY).y_train.ravel()) == {-1.0, 1.0}


def test_only_columns_that_are_used_are_checked(bring, frame):
    frame["late"], frame["same"] = ["?", np.nan, *range(48)], 3
    data = bring(frame, features=["height", "mass"]).sample(KEY)
    assert data.x_train.shape == (40, 2)


@pytest.mark.parametrize(
    "write",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace(",", ", ").encode(),
        lambda text: (text + "\n\r\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace("cat", '"cat"').encode(),
    ],
    ids=["bom", "crlf", "spaces", "blank end", "no end", "quotes"],
)
def test_tables_are_read_however_they_are_written(bring, frame, write):
    frame["colour"] = frame["colour"].str.replace(", ", " ")
    keys = {"features": ["height", "mass", "colour", "kind"]}
    expected = bring(frame, **keys).sample(KEY)
    found = bring(write(frame.to_csv(index=False)), **keys).sample(KEY)
    for name, array in expected._asdict().items():
        np.testing.assert_array_equal(getattr(found, name), array)


def test_cells_are_those_of_the_csv_module(bring):
    """Numbers in many notations, and text with commas, quotes and line breaks."""
    draw = random.Random(0)
    notations = [repr, "{:.3e}".format, "{:+.17g}".format, " {!r} ".format]
    texts = ['say "hi"', "a, b", "two\nlines", "'", "é 😀", "x" * 1000, "-", "1 2"]
    for _ in range(30):
        numbers = [draw.gauss(0, 1) * 10 ** draw.uniform(-30, 30) for _ in range(20)]
        rows = [
            [draw.choice(notations)(x), draw.choice(texts), i]
            for i, x in enumerate(numbers)
        ]
        rows[0][1], rows[1][1] = texts[:2]
        out = io.StringIO()
        csv.writer(
            out, quoting=draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        ).writerows([["a", "b", "y"], *rows])
        one = bring(out.getvalue(), features=["a", "b"], standardise=False, test=5)
        data = one.sample(KEY)
        found = {
            int(y): x
            for x, (y,) in zip(
                [*data.x_train, *data.x_test],
                [*data.y_train, *data.y_test],
                strict=True,
            )
        }
        levels = sorted({text for _, text, _ in rows})
        for number, text, i in rows:
            expected = [float(number), *(float(text == level) for level in levels)]
            assert found[i].tolist() == expected


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"test": 7, "points": 3},
        {"target": ["colour", "kind", "y"]},
        {"features": ["colour", "mass", "kind"]},
    ],
)
def test_sizes_are_those_of_what_is_drawn(bring, frame, keys):
    one = bring(frame, **keys)
    data = one.sample(KEY)
    n, m, d, k = one.sizes
    shapes = [array.shape for array in data]
    assert shapes == [(n, d), (n, k), (m, d), (m, k)]


def test_sizes_are_guessed_without_a_table(bring):
    assert Csv(path="gone.csv", target="y").sizes == (1000, 1000, 100, 1)
    stated = Csv(path="gone.csv", target=["y", "z"], features=["a"], points=30)
    assert stated.sizes == (30, 1000, 1, 2)
    assert bring("y,x\n1,?\n").sizes == (1000, 1000, 100, 1)
    assert Csv(path="gone.csv", target="y").numbers() == 0


def test_memory_is_planned_by_the_size_of_the_file(bring, frame):
    one = bring(pd.concat([frame] * 4000))
    raw = STUDY | {"dataset": {"kind": "csv", "path": one.path, "target": "y"}}
    e = study.parse(json.dumps(raw), "x.yaml").variants["base"]
    points = 3 * ROWS * 4000 * 2 * 8
    assert cost.data_mb(e) == (points + 24 * os.path.getsize(one.path)) // 10**6


# ------------------------------------------------- what is refused


def rows(**changes):
    """A table of five rows in which columns are replaced or added."""
    columns = {"a": [1, 2, 3, 4, 5], "b": [2, 0, 2, 0, 1], "y": [5, 4, 3, 2, 1]}
    return pd.DataFrame(columns | changes).to_csv(index=False)


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        # cells
        (rows(a=[1, None, 3, 4, 5]), {}, r"row 3, column 'a': the value is missing"),
        (rows(a=[1, "NA", 3, 4, 5]), {}, r"row 3, column 'a': the value is missing"),
        (rows(y=["u", "v", "", "u", "v"]), {}, r"row 4, column 'y': the value is miss"),
        (rows(a=[1, 2, 3, "4,0", 5]), {}, r"row 5, column 'a': '4,0' is no number"),
        (rows(a=[1, 2, 3, 4, "?"]), {}, r"row 6, column 'a': '\?' is no number"),
        (rows(y=[1, 2, 3, 4, "five"]), {}, r"row 6, column 'y': 'five' is no number"),
        (rows(a=[1, True, 3, 4, 5]), {}, r"row 3, column 'a': 'True' is no number"),
        (rows(a=[1, 2, "inf", 4, 5]), {}, r"row 4, column 'a': 'inf' is larger than"),
        (
            rows(a=[1, 2, -2e50, 4, 5]),
            {},
            r"row 4, column 'a': '-2e\+50' is larger than",
        ),
        (
            rows(a=[1, 2, 10**60, 4, 5]),
            {},
            r"row 4, column 'a': '10000.* is larger than",
        ),
        (rows(a=["x" * 10**4, 2, 3, 4, 5]), {}, r"row 2, column 'a': 'xxxx"),
        # columns
        (rows(a=7), {}, r"column 'a' is constant from row 2 to row 6, '7'"),
        (rows(a=1 + 1e-16 * np.arange(5)), {}, r"column 'a' is constant"),
        (rows(a=1e-200 * np.arange(5)), {}, r"column 'a' is constant"),
        (rows(a="u"), {"features": ["a", "b"]}, r"column 'a' is constant .*'u'"),
        (rows(y="u"), {}, r"column 'y' is constant"),
        (rows(y=0), {}, r"column 'y' is constant"),
        (rows(), {"target": "z"}, r"no column 'z': it has 'a', 'b', 'y'"),
        (rows(), {"target": ""}, r"no column '': it has"),
        (rows(), {"target": "Y"}, r"no column 'Y': it has 'a', 'b', 'y'"),
        (rows(), {"features": ["a", "bb"]}, r"no column 'bb'.* did you mean b\?"),
        (rows()[2:], {}, r"row 2 has 3 cells, and the header 2"),
        (rows(a=list("uvwuv"), b=list("uvuvu")), {}, r"no column of numbers is left"),
        (rows(), {"target": ["y", "a", "b"]}, r"no column of numbers is left"),
        (
            pd.DataFrame({"a": [f"t{i}" for i in range(21)], "y": range(21)}).to_csv(
                index=False
            ),
            {"features": "a"},
            r"column 'a' has 21 different texts, at most 20",
        ),
        (
            pd.DataFrame({"y": [f"t{i}" for i in range(101)], "a": range(101)}).to_csv(
                index=False
            ),
            {},
            r"column 'y' has 101 different texts, at most 100",
        ),
        # rows
        (
            rows(a=[1, 2, 1, 4, 5]),
            {},
            r"rows 2 and 4 have equal features but different targets in column 'y'",
        ),
        (
            rows(c=list("uuuuv"), z=[1, 1, 1, 1, 2]),
            {"features": "c", "target": ["z", "y"]},
            r"rows 2 and 3 have .* column 'y'",
        ),
        (
            rows(a=[1, 1, 1, 2, 3], b=1, y=list("uuvwv")),
            {"features": "a"},
            r"rows 2 and 4 have .* column 'y'",
        ),
        (rows(), {"test": 5}, r"no training rows: dataset.test takes 5 of the 5 rows"),
        (rows(), {"test": 0.99}, r"no training rows: dataset.test takes 5"),
        (rows(), {"points": 5}, r"dataset.points is 5, but 4 of the 5 rows"),
        (rows(), {"points": 1}, r"column 'a' is constant in the 1 training rows"),
        # structure
        ("", {}, r"is empty"),
        ("\ufeff", {}, r"is empty"),
        (" \n \n", {}, r"is empty"),
        ("a,y\n", {}, r"fewer than two rows"),
        ("a,y\n1,2\n", {}, r"fewer than two rows"),
        ("a,y\n1,2\n3\n", {}, r"row 3 has 1 cells, and the header 2"),
        ("a,y\n1,2\n3,4,5\n", {}, r"row 3 has 3 cells, and the header 2"),
        ("a,y\n1,2,3\n3,4,5\n", {}, r"row 2 has 3 cells, and the header 2"),
        ("a,y\n1,2\n\n3,4\n", {}, r"row 3 has 0 cells, and the header 2"),
        ("\na,y\n1,2\n3,4\n", {}, r"has one column"),
        ("y\n1\n2\n", {}, r"has one column"),
        ("a,y,a\n1,2,3\n4,5,6\n", {}, r"two columns are named 'a'"),
        (",y\n0,2\n1,5\n", {}, r"column 1 has no printable name.*index=False"),
        ("a\x1b[2J,y\n0,2\n1,5\n", {}, r"column 1 has no printable name"),
        ("a;y\n1,5;2\n3,1;4\n", {}, r"separated by semicolons: save it with commas"),
        ("a\ty\n1\t2\n3\t4\n", {}, r"separated by tabs"),
        ('a,y\n1,"2\n3,4\n', {}, r"row 2: unexpected end of data"),
        ('"a,y\n1,2\n3,4\n', {}, r"row 1: unexpected end of data"),
        ('a,y\n1,2\n3,"4"5\n', {}, r"row 3: .* expected after"),
        (f"a,y\n1,2\n3,{'4' * 200_000}\n", {}, r"row 3: field larger than"),
        (",".join(map(str, range(10_001))) + "\n", {}, r"10,001 columns, at most"),
        # encodings
        ("größe,y\n1,2\n3,4\n".encode("latin-1"), {}, r"row 1 is not UTF-8"),
        ("a,y\n1,2\n3,é\n".encode("cp1252"), {}, r"row 3 is not UTF-8: save it as"),
        ("a,y\n1,2\n3,4\n".encode("utf-16"), {}, r"row 1 is not UTF-8"),
        ("a,y\n1,2\n3,4\n".encode("utf-16-le"), {}, r"is no text: save it as CSV"),
        (b"PK\x03\x04\x14\x00", {}, r"is no text: save it as CSV"),
    ],
)
def test_bad_tables_are_refused_in_one_sentence(bring, content, keys, message):
    one = bring(content, **keys)
    with pytest.raises(artifacts.ProductError, match=message) as error:
        one.sample(KEY)
    assert str(error.value).startswith(one.path) and len(str(error.value)) < 500
    assert str(error.value).isprintable()


def test_columns_that_are_constant_in_the_training_rows_are_refused(bring):
    rare = np.zeros(ROWS)
    rare[3] = 1
    content = pd.DataFrame({"a": range(ROWS), "rare": rare, "y": range(ROWS)})
    for key in map(jax.random.key, range(20)):
        one = bring(content, points=10)
        plain = bring(content, points=10, standardise=False).sample(key)
        if plain.x_train[:, 1].any():
            assert np.isfinite(one.sample(key).x_train).all()
        else:
            with pytest.raises(
                artifacts.ProductError, match=r"'rare' is constant in t"
            ):
                one.sample(key)


def test_equal_rows_with_equal_targets_are_read(bring):
    assert (
        len(bring(rows(a=[1, 2, 1, 4, 5], y=[5, 4, 5, 2, 1])).sample(KEY).x_train) == 4
    )


def test_places_without_a_table_are_refused(tmp_path):
    for path, message in (
        (tmp_path / "gone.csv", "No such file"),
        (tmp_path, "is not a file"),
        ("/dev/zero", "is not a file"),
        ("https://example.org/a.csv", "No such file"),
    ):
        with pytest.raises(artifacts.ProductError, match=message):
            Csv(path=str(path), target="y").sample(KEY)


def test_large_tables_are_refused_unread(tmp_path, bring, monkeypatch):
    with open(tmp_path / "large.csv", "wb") as file:
        file.truncate(table.MOST_BYTES + 1)
    with pytest.raises(artifacts.ProductError, match="is larger than 134,217,728 byt"):
        Csv(path=str(tmp_path / "large.csv"), target="y").sample(KEY)
    one = bring(rows(c=list("uvwuv")), features=["a", "c"])
    assert one.sample(KEY).x_train.shape == (4, 4)
    monkeypatch.setattr(artifacts, "MOST_USER_BYTES", 8 * 5 * 4 - 1)
    with pytest.raises(artifacts.ProductError, match="5 rows of 4 numbers take 160 b"):
        one.sample(KEY)


def test_damaged_tables_are_read_or_refused_in_one_sentence(bring, frame):
    """300 tables with random bytes replaced, removed, repeated or cut off."""
    whole, draw, refused = frame.to_csv(index=False).encode(), random.Random(3), 0
    for _ in range(300):
        body = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 10])):
            at, length = draw.randrange(len(body)), draw.choice([1, 1, 5, 100])
            new = draw.choice(
                [b"", b'"', b",", b"\n", b"\r", b"\0", b"\xff", b" ", b"1e9"]
            )
            body[at : at + length] = draw.choice([new, body[at : at + length] * 2])
        one = bring(bytes(body), features=["height", "mass", "kind"])
        try:
            data = one.sample(KEY)
        except artifacts.ProductError as error:
            assert str(error).isprintable() and len(str(error)) < 500, body
            refused += 1
        else:
            assert all(np.isfinite(array).all() for array in data)
            n, m, d, k = one.sizes
            shapes = [array.shape for array in data]
            assert shapes == [(n, d), (n, k), (m, d), (m, k)]
    assert 30 < refused < 270


# ------------------------------------------------- in a study


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 3}, "target: "),
        ({"target": []}, "target: "),
        ({"target": ["y", "y"]}, "target: 'y' is given twice"),
        ({"features": []}, "features: "),
        ({"features": ["a", "a"]}, "features: 'a' is given twice"),
        ({"features": ["a", "y"]}, "features: 'y' is the target, too"),
        ({"test": 0}, "test: "),
        ({"test": -1}, "test: "),
        ({"test": 2.5}, "test: 2.5 is neither"),
        ({"points": 0}, "points: "),
        ({"standardise": "yes"}, "standardise: "),
        ({"standardize": True}, "standardize: unknown key; did you mean standardise?"),
        ({"path": "{study}.csv"}, "path: "),
    ],
)
def test_keys_that_do_not_fit_are_refused(change, message):
    base = {"kind": "csv", "path": "mine.csv", "target": "y"}
    raw = STUDY | {"dataset": base | change}
    with pytest.raises(study.StudyError) as error:
        study.parse(json.dumps(raw), "x.yaml")
    faults = list(map(str, error.value.faults))
    assert [f for f in faults if f.startswith(f"x.yaml: dataset.{message}")], faults
    assert len(faults) == 1, faults


def parsed(path, **keys):
    raw = {"dataset": {"kind": "csv", "path": str(path), "target": "y"}}
    return study.parse(json.dumps(STUDY | {"seeds": 3} | raw | keys), "x.yaml")


def test_a_study_is_read_without_its_table():
    one = parsed("gone.csv")
    assert one.variants["base"].dataset.stated_sizes is None
    assert one.one_data_set.startswith("The data are drawn at random once")


def test_each_seed_may_draw_its_own_rows(bring, frame, tmp_path):
    path = bring(frame).path
    one = parsed(path, data="redraw")
    made = artifacts.load(run_stage("dataset", one, "base", 0, (), tmp_path / "d.npz"))
    x = made.data["x_train"]
    assert x.shape == (3, 40, 2) and not (x[0] == x[1]).all()
    [[name, variant, _, digest]] = made.meta["inputs"]
    assert (name, variant) == (USER_FILE, "base")
    assert digest == artifacts.users_digest(path)


def test_a_table_may_be_brought_from_elsewhere(bring, frame, tmp_path):
    path, one = bring(frame).path, parsed("gone.csv")
    made = run_stage("dataset", one, "base", 0, [path], tmp_path / "d.npz")
    expected = artifacts.load(
        run_stage("dataset", parsed(path), "base", 0, (), tmp_path / "e.npz")
    )
    np.testing.assert_array_equal(
        artifacts.load(made).data["x_train"], expected.data["x_train"]
    )


def test_draws_of_the_limit_need_data_that_are_no_file(bring, frame):
    with pytest.raises(study.StudyError, match=r"limit_draws: .*not from a file"):
        parsed("mine.csv", limit="steps", measure={"limit_draws": 3})
