"""The data of an experiment, drawn at random or read from a user's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntkpipe import cost
from ntkpipe.data.base import Data
from ntkpipe.kernels import compare as metrics
from ntkpipe.stages.job import Job, log
from ntkpipe.stages.stage import Place, Stage

if TYPE_CHECKING:
    from ntkpipe.data import Dataset


def run(job: Job) -> None:
    """Draw the data, or read a user's file, and write dataset.npz."""
    source = job.experiment.dataset
    for path in job.inputs:
        source = source.with_file(path)
    e, key = job.experiment, key_of_data(job.experiment.seed)
    redrawn = e.data == "redraw"
    data = sample_each(source, key, e.draws) if redrawn else source.sample(key)
    x = data.x_train[0] if redrawn else data.x_train
    for first, second in metrics.duplicates(x)[:5]:
        log.warning("training points %d and %d are equal: H is singular", first, second)
    job.write(data._asdict())
    log.info("dataset: x_train %s, y_train %s", data.x_train.shape, data.y_train.shape)


def key_of_data(seed: int):
    """The random key of the data for a study's seed."""
    import jax

    # keys of networks are folded with their width, and no width is as large as this
    return jax.random.fold_in(jax.random.key(seed), 2**31 - 1)


def sample_each(source: Dataset, key, draws: int) -> Data:
    """A data set for each seed r, with the key fold_in(key, r), along a first axis."""
    import jax

    samples = [source.sample(jax.random.fold_in(key, r)) for r in range(draws)]
    return Data(*map(np.stack, zip(*samples, strict=True)))


def settings(at: Place) -> dict[str, Any]:
    """What data are drawn, and how often."""
    e = at.experiment
    once = {"seed": e.data_seed, "dataset": e.dataset}
    return once if e.data == "once" else once | {"draws": e.draws}


DATASET = Stage(
    name="dataset",
    help="draw the data of a variant (dataset.npz)",
    per="variant",
    makes="dataset.npz",
    run=run,
    settings=settings,
    sections=lambda at: at.experiment.dataset,
    # drawn once for all variants with the same data
    variant_of=lambda at: at.study.data_of(at.variant),
    file=lambda at: at.experiment.dataset.user_file,
    memory_mb=lambda at: cost.data_mb(at.experiment),
    flop=lambda at: cost.data_flop(at.experiment),
    input_help="a user's own data, in place of the study's dataset.path",
)
