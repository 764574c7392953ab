"""The data of an experiment, drawn at random or read from a user's file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ntkpipe import artifacts, cost
from ntkpipe.kernels import compare as metrics
from ntkpipe.stages.job import USER_FILE, Job, log
from ntkpipe.stages.stage import Stage


def run(job: Job) -> None:
    """Draw the data, or read a user's file, and write dataset.npz."""
    source = job.experiment.dataset
    if job.inputs:  # a user's file; a storage plugin may have copied it
        source = source.with_file(job.inputs[0])
        job = replace(job, inputs=())
    data = source.sample(key_of_data(job.experiment.seed))
    for first, second in metrics.duplicates(data.x_train)[:5]:
        log.warning("training points %d and %d are equal: H is singular", first, second)
    about: dict[str, Any] = {}
    if source.user_file is not None:
        digest = artifacts.users_digest(source.user_file)
        about["inputs"] = [[USER_FILE, job.at.variant, None, digest]]
    job.write(data._asdict(), **about)
    log.info("dataset: x_train %s, y_train %s", data.x_train.shape, data.y_train.shape)


def key_of_data(seed: int):
    """The random key of the data for a study's seed."""
    import jax

    # keys of networks are folded with their width, and no width is as large as this
    return jax.random.fold_in(jax.random.key(seed), 2**31 - 1)


DATASET = Stage(
    name="dataset",
    help="draw the data of a variant (dataset.npz)",
    per="variant",
    makes="dataset.npz",
    run=run,
    settings=lambda at: {
        "seed": at.experiment.data_seed,
        "dataset": at.experiment.dataset,
    },
    sections=lambda at: at.experiment.dataset,
    # drawn once for all variants with the same data
    variant_of=lambda at: at.study.data_of(at.variant),
    memory_mb=lambda at: cost.data_mb(at.experiment),
    flop=lambda at: cost.data_flop(at.experiment),
    input_help="a user's own data, in place of the study's dataset.path",
)
