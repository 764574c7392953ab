"""Data sets: shapes, distributions and faults."""

import json
import zipfile

import jax
import numpy as np
import pytest

from ntkpipe import artifacts, study
from ntkpipe.data.circle import Circle
from ntkpipe.data.gaussian import Gaussian
from ntkpipe.data.images import Digits, Mnist5k
from ntkpipe.data.npz import Npz
from ntkpipe.data.points import Points
from ntkpipe.data.sphere import Sphere
from ntkpipe.data.targets import (
    Eigenvector,
    Harmonics,
    Noise,
    Product,
    RandomLabels,
    Teacher,
)
from ntkpipe.models.mlp import MLP

KEY = jax.random.key(0)


def test_points_are_as_written():
    data = Points(x=((-3.0,), (0.5,)), y=((2.0,), (-1.0,)), grid=(-1.0, 1.0), test=3)
    data = data.sample(KEY)
    assert data.x_train.tolist() == [[-3], [0.5]]
    assert data.y_train.tolist() == [[2], [-1]]
    assert data.x_test.tolist() == [[-1], [0], [1]]


def test_circle_lies_on_the_circle_and_harmonics_are_cosines():
    data = Circle(points=8, target=Harmonics(frequencies=(1, 3))).sample(KEY)
    np.testing.assert_allclose(np.linalg.norm(data.x_train, axis=1), 1)
    angle = 2 * np.pi * np.arange(8) / 8
    expected = np.cos(angle) + np.cos(3 * angle)
    np.testing.assert_allclose(data.y_train[:, 0], expected, atol=1e-12)
    assert data.x_test.shape == (65, 2)


def test_targets_are_a_product_or_independent_noise():
    data = Gaussian(points=500, target=Product()).sample(KEY)
    np.testing.assert_allclose(data.y_train[:, 0], data.x_train.prod(1))
    assert abs(data.x_train.std() - 1) < 0.1
    noise = Gaussian(points=500, dimension=3, target=Noise()).sample(KEY)
    assert abs(noise.y_train.std() - 1) < 0.1
    assert abs(np.corrcoef(noise.x_train[:, 0], noise.y_train[:, 0])[0, 1]) < 0.15


def test_a_teacher_on_the_sphere_is_homogeneous():
    kind = Sphere(points=20, dimension=5, radius=2.0, target=Teacher(outputs=3))
    data = kind.sample(KEY)
    np.testing.assert_allclose(np.linalg.norm(data.x_train, axis=1), 2)
    assert data.y_train.shape == (20, 3)
    # a network of ReLUs without biases is homogeneous
    again = Sphere(points=20, dimension=5, radius=4.0, target=Teacher(outputs=3))
    np.testing.assert_allclose(again.sample(KEY).y_train, 2 * data.y_train)


@pytest.mark.parametrize("kind, pixels", [(Digits, 64), (Mnist5k, 784)])
def test_images_are_scaled_split_and_centred(kind, pixels):
    data = kind(train=40, test=30).sample(KEY)
    assert data.x_train.shape == (40, pixels)
    assert data.y_test.shape == (30, 10)
    np.testing.assert_allclose(np.linalg.norm(data.x_train, axis=1) ** 2, pixels)
    np.testing.assert_allclose(data.y_train.sum(1), 0, atol=1e-12)
    both = np.concatenate([data.x_train, data.x_test])
    assert len(np.unique(both, axis=0)) == 70
    two = kind(train=40, test=30, classes=(0, 1), scale="pixel").sample(KEY)
    assert set(two.y_train.ravel()) == {-1.0, 1.0}
    assert 0 <= two.x_train.min() and two.x_train.max() <= 1


def test_images_may_have_another_target():
    kind = Digits(train=40, test=30, target=RandomLabels())
    data, labels = kind.sample(KEY), Digits(train=40, test=30).sample(KEY)
    np.testing.assert_array_equal(data.x_train, labels.x_train)
    assert set(data.y_train.ravel()) == {-1.0, 1.0}
    assert data.y_train.shape == (40, 1) and data.y_test.shape == (30, 1)


@pytest.mark.parametrize("component", [1, 3, -1, -2])
def test_an_eigenvector_is_one_of_the_kernel_and_extends_to_other_points(component):
    network = MLP(depth=2, b_std=0.3)
    target = Eigenvector(component=component, amplitude=0.7, network=network)
    data = Sphere(points=12, dimension=4, target=target, test=5).sample(KEY)
    theta = np.asarray(network.infinite(data.x_train).ntk)
    index = 12 - component if component > 0 else -1 - component
    value = np.linalg.eigvalsh(theta)[index]
    y = data.y_train
    np.testing.assert_allclose(theta @ y, value * y, rtol=1e-8, atol=1e-10)
    assert np.sqrt(np.mean(y**2)) == pytest.approx(0.7)
    assert np.abs(y).max() == y.max()
    # Nyström: at a training point it is the training target
    _, again = target.label(data.x_train, data.x_train[:3], KEY)
    np.testing.assert_allclose(again, y[:3], rtol=1e-7)
    across = np.asarray(network.infinite(data.x_test, data.x_train).ntk)
    np.testing.assert_allclose(data.y_test, across @ y / value, rtol=1e-9)


def test_eigenvector_is_of_the_network_with_signs():
    target = Eigenvector(component=2, network=MLP(output_weights="signs"))
    data = Sphere(points=9, dimension=9, radius=3.0, target=target).sample(KEY)
    cosine = np.clip(data.x_train @ data.x_train.T / 9, -1, 1)
    h = cosine * (np.pi - np.arccos(cosine)) / (2 * np.pi)
    value = np.linalg.eigvalsh(h)[-2]
    np.testing.assert_allclose(h @ data.y_train, value * data.y_train, rtol=1e-6)


def test_random_labels_do_not_depend_on_the_points():
    data = Gaussian(points=2000, dimension=3, target=RandomLabels()).sample(KEY)
    assert set(data.y_train.ravel()) == {-1.0, 1.0}
    assert abs(data.y_train.mean()) < 0.1
    assert abs(np.corrcoef(data.x_train[:, 0], data.y_train[:, 0])[0, 1]) < 0.1
    assert not data.y_test.any()


def test_too_many_images_are_refused():
    with pytest.raises(ValueError, match="there are 1797"):
        Digits(train=1500, test=500).sample(KEY)


SPHERE = {"kind": "sphere", "points": 3, "dimension": 3, "target": {"kind": "noise"}}
GAUSSIAN = SPHERE | {"kind": "gaussian"}
CIRCLE = {"kind": "circle", "points": 3, "target": {"kind": "noise"}}
POINTS = {"kind": "points", "x": [[1.0], [2.0]], "y": [[1.0], [1.0]]}
STUDY = {
    "title": "A",
    "question": "B?",
    "model": {},
    "training": {"learning_rate": 1.0, "steps": 1},
    "widths": [8],
}


@pytest.mark.parametrize(
    "base, change, message",
    [
        (POINTS, {"x": [[]], "y": [[1.0]]}, "x.0: "),
        (POINTS, {"y": [[], []]}, "y.0: "),
        (POINTS, {"x": [[1.0], [1.0, 2.0]]}, "x: rows of different lengths"),
        (POINTS, {"y": [[1.0]]}, "y: 1 targets"),
        (POINTS, {"x": [[1e51], [0.0]]}, "x.0.0: "),
        (POINTS, {"grid": [-1e308, 1e308]}, "grid.0: "),
        (SPHERE, {"radius": 1e200}, "radius: "),
        (
            SPHERE,
            {"target": {"kind": "eigenvector", "amplitude": 1e308}},
            "target.amplitude: ",
        ),
        (CIRCLE, {"angles": []}, "angles: "),
        (CIRCLE, {"target": {"kind": "values", "y": [1.0]}}, "target.y: 1 values for"),
        (
            CIRCLE,
            {"angles": [0.0], "target": {"kind": "values", "y": [1.0, 2.0]}},
            "target.y: 2 values for 1 points",
        ),
        (
            CIRCLE,
            {"target": {"kind": "harmonics", "frequencies": []}},
            "target.frequencies: ",
        ),
        (
            CIRCLE,
            {"target": {"kind": "harmonics", "frequencies": [1], "amplitudes": []}},
            "target.amplitudes: 0 of them for 1 frequencies",
        ),
        *(
            (base, {"dimension": 1, "target": target}, "target.kind: ")
            for base in (SPHERE, GAUSSIAN)
            for target in (
                {"kind": "product"},
                {"kind": "harmonics", "frequencies": [1]},
            )
        ),
        (GAUSSIAN, {"test_on": "circle"}, "test_on: circle needs dimension: 2"),
        *(
            (
                SPHERE,
                {"target": {"kind": "eigenvector", "component": at}},
                f"target.component: {at} of 3 points",
            )
            for at in (4, 0, -4)
        ),
        (
            SPHERE,
            {"target": {"kind": "eigenvector", "network": {"parameterization": "mup"}}},
            "target.network.parameterization: ",
        ),
        ({"kind": "digits"}, {"classes": [0, 42]}, "classes.1: "),
        ({"kind": "mnist5k"}, {"classes": [3, 3]}, "classes: "),
        ({"kind": "digits"}, {"train": 10**4}, "train: with test 10128 images"),
        (
            {"kind": "digits"},
            {"target": {"kind": "values", "y": [1.0]}},
            "target.y: 1 values for 128 points",
        ),
        ({"kind": "npz"}, {"path": ""}, "path: "),
        ({"kind": "npz"}, {"path": "a\x00b"}, "path: "),
        ({"kind": "npz"}, {"path": "{study}.npz"}, "path: "),
        ({"kind": "npz"}, {"path": "-u.npz"}, "path: "),
    ],
)
def test_what_does_not_fit_is_refused_with_its_key(base, change, message):
    for prefix, raw in (
        ("dataset", STUDY | {"dataset": base | change}),
        (
            "variants.v.dataset",
            STUDY | {"dataset": base, "variants": {"v": {"dataset": change}}},
        ),
    ):
        with pytest.raises(study.StudyError) as error:
            study.parse(json.dumps(raw), "x.yaml")
        faults = list(map(str, error.value.faults))
        assert any(f.startswith(f"x.yaml: {prefix}.{message}") for f in faults), faults


def test_a_target_of_rounding_is_refused():
    # frequency 3 on the circle without biases
    none = Eigenvector(component=-1, network=MLP(output_weights="signs"))
    with pytest.raises(ValueError, match="zero but for rounding"):
        Circle(points=8, target=none).sample(KEY)


@pytest.mark.parametrize(
    "kind",
    [
        Points(x=((1.0, 2.0),), y=((1.0, 2.0, 3.0),)),
        Circle(points=3, target=Product()),
        Circle(angles=(0.0, 1.0), target=Noise()),
        Gaussian(points=3, dimension=5, target=Teacher(outputs=2), test=4),
        Sphere(points=3, dimension=4, target=RandomLabels()),
        Digits(train=5, test=6),
        Digits(train=5, test=6, classes=(3, 8)),
        Mnist5k(train=5, test=6, target=Noise()),
    ],
    ids=lambda kind: kind.kind,
)
def test_sizes_are_those_of_what_is_drawn(kind):
    n, m, d, k = kind.sizes
    shapes = {"x_train": (n, d), "y_train": (n, k), "x_test": (m, d), "y_test": (m, k)}
    data = kind.sample(KEY)._asdict()
    assert {name: array.shape for name, array in data.items()} == shapes


@pytest.mark.parametrize("kind", [Digits, Mnist5k])
def test_images_of_each_class_are_all_there(kind):
    data, k = kind(train=1, test=1), sum(kind.images)
    assert tuple(np.bincount(data.load()[1])) == kind.images
    assert len(kind(train=k - 1, test=1).sample(KEY).x_train) == k - 1


def test_user_data_is_read(tmp_path):
    arrays = {
        "x_train": np.arange(6).reshape(3, 2),
        "y_train": np.array([1.0, 2.0, 3.0]),
        "x_test": np.zeros((2, 2), np.float32),
        "y_test": np.zeros(2),
    }
    np.savez(tmp_path / "mine.npz", **arrays)
    data = Npz(path=str(tmp_path / "mine.npz")).sample(KEY)
    assert data.y_train.shape == (3, 1)
    assert data.x_test.dtype == np.float64
    assert Npz(path=str(tmp_path / "mine.npz")).sizes == (3, 2, 2, 1)


GOOD = {
    "x_train": np.ones((3, 2)),
    "y_train": np.ones((3, 1)),
    "x_test": np.ones((2, 2)),
    "y_test": np.ones((2, 1)),
}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x_train": None}, "no x_train"),
        ({"y_train": np.ones((4, 1))}, r"y_train has the shape \(4, 1\)"),
        ({"x_test": np.ones((2, 3))}, "x_test has the shape"),
        ({"x_train": np.full((3, 2), np.nan)}, "NaN or infinity"),
        ({"x_train": np.array([["a", "b"]] * 3)}, "not numbers"),
        ({"x_train": np.ones((3, 2), complex)}, "not numbers"),
        ({"x_train": np.ones((3, 2, 2))}, "has the shape"),
        ({"x_train": np.ones((0, 2))}, "has the shape"),
        ({"x_train": np.array([[{}]] * 3)}, "allow_pickle"),
    ],
)
def test_bad_user_data_is_refused_in_one_sentence(tmp_path, change, message):
    path = tmp_path / "bad.npz"
    arrays = {k: v for k, v in (GOOD | change).items() if v is not None}
    np.savez(path, **arrays)
    with pytest.raises(artifacts.ProductError, match=message) as error:
        Npz(path=str(path)).sample(KEY)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x80\x04K\x01."])
def test_files_that_are_no_npz_are_refused(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(artifacts.ProductError, match=r"expected a \.npz"):
        Npz(path=str(path)).sample(KEY)
    with pytest.raises(artifacts.ProductError, match=r"No such file|not a \.npz"):
        Npz(path=str(tmp_path / "missing.npz")).sample(KEY)


def npy(header):
    """A .npy file of three numbers with this header."""
    header = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(24)


HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 1)}"


@pytest.mark.parametrize(
    "old, new",
    [
        ("3, 1", f"{10**25}, 1"),
        ("3, 1", f"{10**8}, {10**8}"),
        ("3, 1", "True, 1"),
        ("3, 1", "-3, -1"),
        ("(3, 1)}", "(3, 1"),
        ("(3, 1)}", "(" * 3000),
        ("'shape'", "3"),
        ("'<f8'", "'?8'"),
        ("'<f8'", "[('a', 1, 2, 3)]"),
        ("{", "["),
        (HEADER, ""),
    ],
)
def test_damaged_headers_are_refused_in_one_sentence(tmp_path, old, new):
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in artifacts.USER_ARRAYS:
            header = HEADER.replace(old, new) if name == "x_test" else HEADER
            archive.writestr(f"{name}.npy", npy(header))
    with pytest.raises(artifacts.ProductError, match=r"expected a \.npz") as error:
        Npz(path=str(path)).sample(KEY)
    assert "\n" not in str(error.value)
    with pytest.raises(artifacts.ProductError, match="is damaged"):
        artifacts.load(path)
