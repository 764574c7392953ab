"""Values, slopes and curvatures of all losses; targets that do not fit them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

from ntkpipe import measurements, study
from ntkpipe.training.losses import SQUARED
from ntkpipe.training.losses.cross_entropy import CrossEntropy, probabilities
from ntkpipe.training.losses.huber import Huber
from ntkpipe.training.losses.logistic import Logistic

RNG = np.random.default_rng(0)
F = 3 * RNG.standard_normal((6, 3))
CLASSES = np.eye(3)[[0, 1, 2, 0, 1, 1]]
TARGETS = {
    SQUARED: RNG.standard_normal((6, 3)),
    Huber(delta=0.5): RNG.standard_normal((6, 3)),
    Logistic(): 2 * CLASSES - 1,
    CrossEntropy(): CLASSES - 1 / 3,
}
LOSSES = pytest.mark.parametrize("loss", TARGETS, ids=lambda loss: loss.kind)


def test_losses_are_those_of_other_libraries():
    y = RNG.standard_normal((6, 3))
    np.testing.assert_allclose(SQUARED.value(F, y), optax.l2_loss(F, y).sum() / 6)
    ours = Huber(delta=0.5).value(F, y)
    np.testing.assert_allclose(ours, scipy.special.huber(0.5, F - y).sum() / 6)
    ours, theirs = Logistic().value(F, CLASSES), optax.sigmoid_binary_cross_entropy
    np.testing.assert_allclose(ours, theirs(F, CLASSES).sum() / 6)
    np.testing.assert_allclose(Logistic().value(F, 2 * CLASSES - 1), ours)
    ours, theirs = CrossEntropy().value(F, CLASSES), optax.softmax_cross_entropy
    np.testing.assert_allclose(ours, theirs(F, CLASSES).mean())
    np.testing.assert_allclose(CrossEntropy().value(F, CLASSES - 1 / 3), ours)
    soft = np.array([[0.2, 0.3, 0.5]] * 6)
    ours = CrossEntropy().value(F, soft)
    np.testing.assert_allclose(ours, theirs(F, soft).mean())


@LOSSES
def test_the_gradient_is_the_derivative_of_the_value(loss):
    y, p = TARGETS[loss], RNG.uniform(size=6)
    for weights in (None, p):
        slope = jax.grad(lambda f, p=weights: loss.value(f, y, 2.0, p))(F)
        np.testing.assert_allclose(loss.gradient(F, y, 2.0, weights), slope, atol=1e-15)
    equal = loss.value(F, y, 2.0, np.full(6, 1 / 6))
    np.testing.assert_allclose(loss.value(F, y, 2.0), equal, rtol=1e-14)
    one_point = sum(p[i] * loss.value(F[[i]], y[[i]]) for i in range(6))
    np.testing.assert_allclose(loss.value(F, y, weights=p), one_point)


@LOSSES
def test_outputs_may_have_further_axes(loss):
    y, p, deep = TARGETS[loss], RNG.uniform(size=6), np.stack([F, 2 * F])
    for weights in (None, p):
        values = loss.value(deep, y, 1.0, weights)
        slopes = loss.gradient(deep, y, 1.0, weights)
        for i in range(2):
            np.testing.assert_allclose(values[i], loss.value(deep[i], y, 1.0, weights))
            one = loss.gradient(deep[i], y, 1.0, weights)
            np.testing.assert_allclose(slopes[i], one, atol=1e-15)


@LOSSES
def test_the_curvature_is_bounded_and_the_bound_is_reached(loss):
    """The largest eigenvalue of ∂²ℓ/∂f² over many outputs is the bound."""
    y = TARGETS[loss][:1]
    near = [y, np.zeros((1, 3)), np.array([[0.0, 0.0, -50.0]])]
    rows = np.concatenate([*near, RNG.standard_normal((200, 3))])[:, None]

    def of_point(f):
        return loss.value(f, y)

    hessians = jax.vmap(jax.hessian(of_point))(jnp.asarray(rows)).reshape(-1, 3, 3)
    largest = np.linalg.eigvalsh(hessians).max()
    np.testing.assert_allclose(largest, loss.curvature, rtol=1e-9)


def test_single_precision_stays():
    for loss, y in TARGETS.items():
        f, y = jnp.asarray(F, "float32"), jnp.asarray(y, "float32")
        assert loss.value(f, y).dtype == loss.gradient(f, y).dtype == np.float32


def test_far_outputs_have_finite_losses():
    far = np.array([[1e4, 0.0, -1e4]] * 6)
    for loss, y in TARGETS.items():
        assert np.isfinite(loss.value(far, y))
        assert np.isfinite(jax.grad(loss.value)(far, y)).all()


@pytest.mark.parametrize(
    ("loss", "y", "why"),
    [
        (CrossEntropy(), CLASSES, ""),
        (CrossEntropy(), CLASSES - 1 / 3, ""),
        (CrossEntropy(), [[0.25, 0.75], [0.5, 0.5]], ""),
        (CrossEntropy(), [[1.0], [0.0]], "one output (use loss: logistic)"),
        (CrossEntropy(), 2 * CLASSES - 1, "a target is [1, -1, -1]"),
        (CrossEntropy(), [[1.5, -0.5], [0, 1]], "a target is [1.5, -0.5]"),
        (CrossEntropy(), np.eye(7) + 1, "a target is [2, 1, 1, 1, 1, …]"),
        (Logistic(), CLASSES, ""),
        (Logistic(), [[-1.0], [1.0]], ""),
        (Logistic(), [[1.0], [1.0]], ""),
        (Logistic(), [[0.0], [2.0]], "a target is 2"),
        (Logistic(), [[0.0], [1.0], [-1.0]], "the targets are 1, 0 and −1"),
        (Logistic(), CLASSES - 1 / 3, "(use loss: cross_entropy)"),
        (SQUARED, [[3.0]], ""),
        (Huber(), [[3.0]], ""),
    ],
)
def test_targets_that_do_not_fit_are_refused(loss, y, why):
    y = np.array(y, float)
    assert why in loss.unfit(y) and bool(why) == bool(loss.unfit(y))
    if why:
        with pytest.raises(ValueError, match=f"training.loss: {loss.kind} needs"):
            loss.check(y)
    else:
        loss.check(y)


def test_probabilities_sum_to_one():
    for y in (CLASSES, CLASSES - 1 / 3):
        np.testing.assert_allclose(probabilities(y), CLASSES, atol=1e-16)


TEXT = """
title: A
question: B?
dataset: {kind: digits, train: 8, test: 3, classes: [1, 2, 3]}
training: {learning_rate: 0.1, steps: 5, loss: cross_entropy}
model: {depth: 1}
widths: [4]
linearize: none
"""


def faults(*changes):
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    try:
        study.parse(text, "x.yaml")
    except study.StudyError as error:
        return [str(fault) for fault in error.faults]
    return []


GAUSSIAN = "dataset: {kind: gaussian, points: 8, target: {kind: "
DIGITS = TEXT.splitlines()[3]


@pytest.mark.parametrize(
    ("loss", "dataset", "fault"),
    [
        ("cross_entropy", DIGITS, ""),
        ("{kind: huber, delta: 2}", DIGITS, ""),
        ("logistic", DIGITS, "logistic needs targets 1 and −1, or 1 and 0"),
        ("logistic", DIGITS.replace(", 3]", "]"), ""),
        ("cross_entropy", DIGITS.replace(", 3]", "]"), "there is one output"),
        ("logistic", GAUSSIAN + "random_labels}}", ""),
        ("logistic", GAUSSIAN + "noise}}", "the targets are numbers"),
        ("logistic", DIGITS[:-1] + ", target: {kind: noise}}", "targets are numbers"),
        (
            "logistic",
            "dataset: {kind: circle, points: 2, target: {kind: values, y: [1, 3]}}",
            "a target is 3",
        ),
        ("cross_entropy", "dataset: {kind: points, x: [[1]], y: [[0, 1]]}", ""),
        ("cross_entropy", "dataset: {kind: points, x: [[1]], y: [[2, 1]]}", "[2, 1]"),
        ("logistic", "dataset: {kind: npz, path: x.npz}", ""),
        ("hubber", DIGITS, "did you mean huber?"),
        ("3", DIGITS, "training.loss"),
    ],
)
def test_a_study_states_a_loss_that_fits_its_targets(loss, dataset, fault):
    found = faults(("loss: cross_entropy", f"loss: {loss}"), (DIGITS, dataset))
    assert len(found) == bool(fault) and all(fault in text for text in found), found


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        ("measure: {modes: 2}", "measure.modes: needs `training.loss: squared`"),
        ("measure: {loss_error: true}", "measure.loss_error: needs `training.loss"),
        ("limit: steps", "limit: needs training.loss: squared, or model.zero_output"),
        (
            "figures: [{kind: modes, name: f, title: t, caption: c}]",
            "f.kind: needs `training.loss: squared`",
        ),
        (
            "figures: [{kind: trajectories, name: f, title: t, caption: c, "
            "panels: [{quantity: residual_along}]}]",
            "f.panels: needs `training.loss: squared`",
        ),
        (
            "claims: [{kind: bound, id: Z, says: s, source: s, set: before, "
            "at_most: 1, metric: loss_rate}]",
            "loss_rate: needs `training.loss: squared`",
        ),
    ],
)
def test_what_needs_the_squared_loss_is_refused_with_another(new, fault):
    found = faults(("linearize: none", f"linearize: none\n{new}"))
    assert any(fault in text for text in found), found
    squares = faults(("linearize: none", new), ("loss: cross_entropy", "loss: squared"))
    assert not any("squared" in text for text in squares), squares


def test_metrics_of_the_squared_loss_are_not_those_of_others():
    e = study.parse(TEXT, "x.yaml").variants["base"]
    assert measurements.unmet("loss_rate", e)
    assert measurements.unmet("learning_rate_relative", e) is None
