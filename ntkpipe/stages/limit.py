"""Infinite width: kernels and the ensemble of trained networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntkpipe import cost, provenance
from ntkpipe.measurements.limit import FIRST
from ntkpipe.stages.dataset import DATASET, key_of_data
from ntkpipe.stages.job import Job
from ntkpipe.stages.stage import Stage

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment


def run(job: Job) -> None:
    """Compute kernels, mean and covariance at infinite width, and write limit.npz."""
    import jax.numpy as jnp

    from ntkpipe.kernels import ensemble, infinite

    e, data = job.experiment, job.read("dataset")
    # all points at once, because each shape of a kernel is compiled separately
    model: Any = e.model  # `has_limit` implies that the model has `infinite`
    whole = model.infinite(np.concatenate([data["x_train"], data["x_test"]]))
    nngp, ntk = map(np.asarray, whole)
    n = len(data["x_train"])
    points = {"train": slice(n), "test": slice(n, None)}
    step, rate = e.training.recorded(), e.training.learning_rate
    # networks that start at f = 0 have one limit function, without covariance
    prior = 0.0 if e.model.starts_at_zero else 1.0
    arrays: dict[str, Any] = {"step": step}
    kernels = {}
    for first, second in (("train", "train"), ("test", "train"), ("test", "test")):
        block = points[first], points[second]
        arrays[f"nngp_{first}_{second}"] = nngp[block]
        arrays[f"ntk_{first}_{second}"] = ntk[block]
        start = jnp.asarray(prior * nngp[block]), jnp.asarray(ntk[block])
        kernels[first, second] = infinite.Kernels(*start)
    times = {"steps": step, "learning_rate": rate}
    if e.limit == "flow":
        times = {"t": rate * step}
    for name in points:
        trained = ensemble.ensemble(
            kernels["train", "train"],
            kernels[name, "train"],
            kernels[name, name],
            data["y_train"],
            **times,
        )
        variance = np.maximum(np.einsum("tmm->tm", np.asarray(trained.cov)), 0)
        arrays |= {f"mean_{name}": trained.mean, f"sd_{name}": np.sqrt(variance)}
    arrays["cov_test"] = trained.cov[-1]
    if e.measure.limit_draws > 1:
        arrays["eigenvalues"] = _spectra(e, data["x_train"])
    job.write(arrays, provenance.device())


def _spectra(e: Experiment, first: np.ndarray) -> np.ndarray:
    """The largest eigenvalues (r e) of Θ∞/N, for the study's data and other draws."""
    import jax

    model: Any = e.model
    key, draws = key_of_data(e.seed), range(1, e.measure.limit_draws)
    drawn = [first, *(e.dataset.sample(jax.random.fold_in(key, r))[0] for r in draws)]
    values = [np.linalg.eigvalsh(model.infinite(x).ntk)[::-1] / len(x) for x in drawn]
    return np.array(values)[:, :FIRST]


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
    sections=lambda at: (
        *(at.experiment.model, at.experiment.training),
        *([at.experiment.dataset] if at.experiment.measure.limit_draws > 1 else []),
    ),
    memory_mb=lambda at: cost.limit_mb(at.experiment),
    flop=lambda at: cost.limit_flop(at.experiment),
)
