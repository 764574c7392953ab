"""Infinite width: kernels, and the ensemble of trained networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntkpipe import cost, provenance
from ntkpipe.measurements import needs
from ntkpipe.stages.dataset import DATASET, key_of_data
from ntkpipe.stages.job import Job
from ntkpipe.stages.stage import Stage

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment


def run(job: Job) -> None:
    """Infinite width: kernels, mean and covariance of the ensemble: limit.npz."""
    from ntkpipe.kernels import ensemble, infinite

    e, data = job.experiment, job.read("dataset")
    # all points at once: each shape of a kernel is compiled by itself
    model: Any = e.model  # `has_limit` is of models that have `infinite`
    whole = model.infinite(np.concatenate([data["x_train"], data["x_test"]]))
    train_, test = slice(len(data["x_train"])), slice(len(data["x_train"]), None)
    points = {
        name: infinite.Kernels(*(np.asarray(kernel)[block] for kernel in whole))  # type: ignore[arg-type]
        for name, block in {
            "train_train": (train_, train_),
            "test_train": (test, train_),
            "test_test": (test, test),
        }.items()
    }
    # networks that begin at zero are one function in the limit, and have no covariance
    prior = 0.0 if e.model.starts_at_zero else 1.0
    start = {name: k._replace(nngp=prior * k.nngp) for name, k in points.items()}
    step = e.training.recorded()
    rate = e.training.learning_rate
    times = {"steps": step, "learning_rate": rate}
    if e.limit == "flow":
        times = {"t": rate * step}
    arrays: dict[str, Any] = {"step": step}
    for name, kernels in points.items():
        arrays |= {
            f"nngp_{name}": kernels.nngp,
            f"ntk_{name}": kernels.ntk,
        }
    for name, across, own in (
        ("train", start["train_train"], start["train_train"]),
        ("test", start["test_train"], start["test_test"]),
    ):
        trained = ensemble.ensemble(
            start["train_train"],
            across,
            own,
            data["y_train"],
            **times,
        )
        variance = np.maximum(np.einsum("tmm->tm", np.asarray(trained.cov)), 0)
        arrays |= {f"mean_{name}": trained.mean, f"sd_{name}": np.sqrt(variance)}
        if name == "test":
            arrays["cov_test"] = trained.cov[-1]
    if e.measure.limit_draws > 1:
        arrays["eigenvalues"] = _spectra(e, data["x_train"])
    job.write(arrays, provenance.device())


def _spectra(e: Experiment, first: np.ndarray) -> np.ndarray:
    """The largest eigenvalues of Θ∞/N for the study's data and other draws, (r e)."""
    import jax

    model: Any = e.model
    key, draws = key_of_data(e.seed), range(1, e.measure.limit_draws)
    drawn = [first, *(e.dataset.sample(jax.random.fold_in(key, r))[0] for r in draws)]
    values = [np.linalg.eigvalsh(model.infinite(x).ntk)[::-1] / len(x) for x in drawn]
    return np.array(values)[:, : needs.FIRST]


LIMIT = Stage(
    name="limit",
    help="infinite width: kernels, mean and covariance of the ensemble",
    per="variant",
    makes="limit.npz",
    run=run,
    reads=(DATASET,),
    wanted=lambda e: e.has_limit,
    settings=lambda at: {
        "model": at.experiment.model,
        "training": at.experiment.training,
        "limit": at.experiment.limit,
        "draws": at.experiment.measure.limit_draws,
    },
    sections=lambda at: (at.experiment.model, at.experiment.training),
    memory_mb=lambda at: cost.limit_mb(at.experiment),
    flop=lambda at: cost.limit_flop(at.experiment),
)
