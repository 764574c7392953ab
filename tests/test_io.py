"""Products are read as they were written, and damaged products are refused."""

import csv
import hashlib
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ntkpipe import artifacts

ARRAYS = {
    "x_train": np.arange(6.0).reshape(3, 2),
    "y_train": np.ones((3, 1)),
    "x_test": np.zeros((2, 2)),
    "y_test": np.zeros((2, 1)),
}
META = {"product": "dataset", "study": "tiny", "variant": "base", "spec": {"a": 1.5}}
MEASURED = META | {"product": "measurements"}
TABLE = pd.DataFrame(
    {
        "study": "tiny",
        "variant": "base",
        "width": 8,
        "seed": [0, 1],
        "step": 5,
        "metric": "loss",
        "value": [0.1 + 0.2, 1e-300 / 3],
    }
)


def test_arrays_come_back_with_what_made_them(tmp_path):
    path = tmp_path / "deep" / "dataset.npz"
    artifacts.save(path, ARRAYS, META)
    product = artifacts.load(path)
    assert product.key == ("dataset", "base", None)
    assert product.meta["spec"] == {"a": 1.5}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(product.data[name], array)
    artifacts.check(path, product, {"study": "tiny"})
    with pytest.raises(artifacts.ProductError, match="another study"):
        artifacts.check(path, product, {"study": "other"})


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for name in "ab":
        artifacts.save(tmp_path / f"{name}.npz", ARRAYS, META)
        artifacts.save_table(
            tmp_path / f"{name}.csv", TABLE, META | {"product": "measurements"}
        )
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    first, second = (artifacts.record_of(tmp_path / f"{name}.csv") for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_tables_keep_every_bit_of_their_numbers(tmp_path):
    path = tmp_path / "measurements.csv"
    artifacts.save_table(path, TABLE, META | {"product": "measurements"})
    read = artifacts.load(path).data
    assert read["value"].tolist() == TABLE["value"].tolist()


@pytest.mark.parametrize(
    "names",
    [["2", "4"], ["007", "1e3"], ["true", "false"], ["nan", "inf"], ["NA", "null"]],
)
def test_names_that_look_like_numbers_or_nothing_stay_names(tmp_path, names):
    table = pd.DataFrame(
        {"study": names, "claim": names, "as_expected": [True, False], "n": [3, 4]}
        | {"ci_low": [np.nan, -np.inf], "low": [1, 2.5], "detail": ["", "told"]}
    )
    artifacts.save_table(tmp_path / "claims.csv", table, META | {"product": "claims"})
    read = artifacts.load(tmp_path / "claims.csv").data
    missing = table.assign(detail=[np.nan, "told"])
    pd.testing.assert_frame_equal(read, missing)


def test_a_table_is_a_csv_as_any_program_reads_it(tmp_path):
    path = tmp_path / "measurements.csv"
    artifacts.save_table(path, TABLE, MEASURED)
    pd.testing.assert_frame_equal(pd.read_csv(path), TABLE)
    with open(path, newline="") as file:
        assert next(csv.reader(file)) == list(TABLE)


def test_the_record_beside_a_table_says_what_made_it(tmp_path):
    path = tmp_path / "measurements.csv"
    artifacts.save_table(path, TABLE, MEASURED)
    record = json.loads(artifacts.record_of(path).read_text(encoding="utf-8"))
    assert record.items() >= MEASURED.items()
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(record["columns"]) == sorted(TABLE)
    assert (
        artifacts.load_meta(path)["spec"]
        == artifacts.load(path).meta["spec"]
        == {"a": 1.5}
    )


def test_a_table_and_the_record_of_another_are_refused(tmp_path):
    """The same holds after a kill between two writes: one file is new, one is old."""
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    artifacts.save_table(first, TABLE, MEASURED)
    artifacts.save_table(second, TABLE.assign(value=1.0), MEASURED)
    shutil.copy(artifacts.record_of(second), artifacts.record_of(first))
    for path in (first, second):
        if path == second:
            artifacts.record_of(second).unlink()
        with pytest.raises(
            artifacts.ProductError, match="delete it and run again"
        ) as error:
            artifacts.load(path)
        assert str(path) in str(error.value)
        assert artifacts.record_of(path).name in str(error.value)
    artifacts.save_table(first, TABLE, MEASURED)
    pd.testing.assert_frame_equal(artifacts.load(first).data, TABLE)


@pytest.mark.parametrize("writes", [0, 1])
def test_a_write_that_is_cut_off_leaves_no_pair_that_is_accepted(
    tmp_path, monkeypatch, writes
):
    """The write is cut off before the first or before the second file is renamed."""
    path = tmp_path / "measurements.csv"
    artifacts.save_table(path, TABLE.assign(value=1.0), MEASURED)
    replace, done = os.replace, []

    def killed(source, target):
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        artifacts.save_table(path, TABLE, MEASURED)
    try:
        assert (artifacts.load(path).data["value"] == 1.0).all()
    except artifacts.ProductError as error:
        assert "delete it and run again" in str(error) and writes
    path.unlink()
    with pytest.raises(artifacts.ProductError, match="does not exist"):
        artifacts.load(path)


def test_the_numbers_of_a_figure_stay_numbers(tmp_path):
    table = pd.DataFrame({"variant": ["8", "16"], "x": [1, 2], "f0": [np.nan, 0.1]})
    artifacts.save_table(tmp_path / "figure.csv", table, META | {"product": "figure"})
    pd.testing.assert_frame_equal(artifacts.load(tmp_path / "figure.csv").data, table)


def test_a_missing_product_names_itself(tmp_path):
    with pytest.raises(artifacts.ProductError, match=r"gone\.npz does not exist"):
        artifacts.load(tmp_path / "gone.npz")


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"\x80\x04}q\x00.", b"# not json\na\n"]
)
@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_what_is_no_product_is_refused(tmp_path, content, ending):
    path = tmp_path / f"product.{ending}"
    path.write_bytes(content)
    with pytest.raises(
        artifacts.ProductError, match=r"is damaged .*delete it and run again"
    ):
        artifacts.load(path)


def test_a_pickle_in_an_npz_is_refused(tmp_path):
    path = tmp_path / "dataset.npz"
    np.savez(path, meta=np.array(json.dumps(META)), x_train=np.array([{}]))
    with pytest.raises(artifacts.ProductError, match="allow_pickle"):
        artifacts.load(path)


def test_a_bit_that_says_encrypted_is_damage(tmp_path):
    path = tmp_path / "whole.npz"
    artifacts.save(path, ARRAYS, META)
    body = bytearray(path.read_bytes())
    at = body.index(b"PK\x01\x02")  # the first entry of the directory
    body[at + 8] |= 1
    path.write_bytes(body)
    with pytest.raises(artifacts.ProductError, match="encrypted"):
        artifacts.load(path)


@given(data=st.data())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.parametrize("ending", ["npz", "csv", "csv.json"])
def test_damage_never_gives_wrong_numbers(tmp_path, ending, data):
    path = tmp_path / f"whole.{ending.removesuffix('.json')}"
    if ending == "npz":
        artifacts.save(path, ARRAYS, META)
    else:
        artifacts.save_table(path, TABLE, META | {"product": "measurements"})
    whole = artifacts.load(path)
    pair = [path, artifacts.record_of(path)] if ending != "npz" else [path]
    hit = pair[ending == "csv.json"]
    body = bytearray(hit.read_bytes())
    if data.draw(st.booleans(), "truncate"):
        body = body[: data.draw(st.integers(0, len(body) - 1), "length")]
    else:
        for _ in range(data.draw(st.integers(1, 3), "flips")):
            bit = data.draw(st.integers(0, 8 * len(body) - 1), "bit")
            body[bit // 8] ^= 1 << bit % 8
    damaged = tmp_path / path.name.replace("whole", "damaged")
    for part in pair:
        changed = body if part == hit else part.read_bytes()
        (tmp_path / part.name.replace("whole", "damaged")).write_bytes(changed)
    try:
        read = artifacts.load(damaged)
    except artifacts.ProductError as error:
        assert str(damaged) in str(error)
        return
    # bits without effect, such as those of a time stamp: the content is unchanged
    if ending != "npz":
        pd.testing.assert_frame_equal(read.data, whole.data)
        assert read.meta == whole.meta
    else:
        for name in ARRAYS:
            np.testing.assert_array_equal(read.data[name], whole.data[name])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y_train": np.ones((4, 1))}, r"y_train has the shape \(4, 1\), not \(n k\)"),
        ({"x_train": np.full((3, 2), np.inf)}, "NaN or infinity"),
        ({"more": np.ones(1)}, "has the arrays"),
    ],
)
def test_a_wrong_product_is_not_written(tmp_path, change, message):
    path = tmp_path / "dataset.npz"
    with pytest.raises(ValueError, match=message):
        artifacts.save(path, ARRAYS | change, META)
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "page.html"
    path.write_bytes(b"before")

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        artifacts.write(path, fail)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.mark.parametrize("dtype, points", [(float, 20_000), (np.uint8, 120_000)])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    tmp_path, monkeypatch, dtype, points
):
    zeros = {name: np.zeros((points, 2), dtype) for name in artifacts.USER_ARRAYS}
    np.savez_compressed(tmp_path / "bomb.npz", **zeros)
    assert artifacts.users_shapes(tmp_path / "bomb.npz")["x_test"] == (points, 2)
    monkeypatch.setattr(artifacts, "MOST_USER_BYTES", 10**6)
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(
        artifacts.ProductError, match=r"unpacks to .* at most 1,000,000"
    ):
        artifacts.read_user_data(tmp_path / "bomb.npz")
