"""The stages of the workflow: read products, call one function, write a product.

This and `ntkpipe.io` are the modules that know files. A stage finds its inputs by
what they say of themselves, so that their order on the command line is free.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ntkpipe import constancy as metrics
from ntkpipe import cost, io, measurements, provenance
from ntkpipe.io import Product, ProductError
from ntkpipe.lazy import Lazy
from ntkpipe.progress import Progress
from ntkpipe.study import Experiment, Study, StudyError, plain

pd = Lazy("pandas")

log = logging.getLogger("ntkpipe")
# the stage that makes each product, for the settings it must have been made with
MAKER = {
    "dataset": "dataset",
    "network": "train",
    "linearized": "linearize",
    "limit": "limit",
    "constancy": "constancy",
    "measurements": "measure",
    "claims": "claims",
    "figure": "figure",
}
FILE = "file"  # a user's own, that a dataset is made from


@dataclass(frozen=True)
class Job:
    """What one command does: of which study, from which files, to which files."""

    study: Study
    variant: str
    width: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    figure: str = ""

    @property
    def experiment(self) -> Experiment:
        """The job's variant."""
        return self.study.variants[self.variant]

    def read(self, product: str) -> dict[str, np.ndarray]:
        """The arrays of the one input that is such a product."""
        variant = self.variant or None
        if product == "dataset":
            variant = self.study.data_of(variant)
        found = self.products.get((product, variant, self.width)) or (
            self.products.get((product, variant, None))
        )
        if found is None:
            is_there = [
                f"{path} is that of {_place(self.study, *key[1:])}, which may lie in "
                "the place of another: then delete it and run again"
                for path, key in zip(self.inputs, self.products, strict=True)
                if key[0] == product
            ]
            raise ProductError(
                f"no {product} of {_place(self.study, variant, self.width)} among the "
                f"inputs ({'; '.join(is_there or self.inputs) or 'none'})"
            )
        return found.data

    @cached_property
    def products(self) -> dict[tuple, Product]:
        """All inputs by (product, variant, width), checked."""
        return read_products(self.study, self.inputs)

    def at(self, width: int, *outputs: str) -> Job:
        """The same at one width, of the same inputs, which are not read again."""
        job = replace(self, width=width, outputs=outputs)
        job.__dict__["products"] = self.products
        return job


def read_products(study: Study, paths: Iterable[str]) -> dict[tuple, Product]:
    """Products by (product, variant, width), each made with the study's settings.

    So was all that they were made from, back to the data, which need not be among
    them: settings of another seed, say, show in a network's but not in a table's own.
    """
    found, origin, files = {}, {}, {}
    for path in paths:
        product = io.load(path)
        kind, variant, width = product.key
        spec = _settings(study, *product.key)
        if spec is None or product.meta.get("study") != study.name:
            raise ProductError(
                f"{path} is the {kind} of {product.meta.get('study')}, {variant}, "
                f"which {study.name} does not have: delete it and run again"
            )
        _check_settings(study, path, product, spec)
        if product.key in found:
            # either may be the one that lies in the other's place
            raise ProductError(
                f"{origin[product.key]} and {path} are both the {kind} of "
                f"{_place(study, variant, width)}: delete both and run again"
            )
        found[product.key], origin[product.key] = product, path
        for source, variant, _, made_with in product.meta.get("inputs", []):
            if source != FILE:
                continue
            first = files.setdefault(variant, (made_with, path))
            if first[0] != made_with:
                raise ProductError(
                    f"{first[1]} and {path} were made from different files of data of "
                    f"{_place(study, variant, None)}: delete both and run again"
                )
    return found


def _check_settings(study: Study, path: str, product: Product, spec: Any) -> None:
    """Refuse a product that was made with other settings or data, or from such.

    A user's file that is gone is taken to be the one that was read.
    """
    io.check(path, product, {"spec": spec})
    for *source, made_with in product.meta.get("inputs", []):
        if source[0] == FILE:
            data = study.variants[source[1]].dataset
            if (io.users_digest(data.path) or made_with) != made_with:
                raise ProductError(
                    f"{path} was made from another {data.path} than is there now: "
                    "delete it and run again"
                )
        elif provenance.digest(_settings(study, *source)) != made_with:
            raise ProductError(
                f"{path} was made from another {source[0]} of "
                f"{_place(study, *source[1:])}, of other settings: delete it and "
                "run again"
            )


def is_of(study: Study, path: str) -> bool:
    """Whether a product says that it was made with the study's settings and data."""
    try:
        product = Product(io.load_meta(path), None)
        if name := product.meta.get("figure"):
            spec = plain(study.figure(name))
        else:
            spec = _settings(study, *product.key)
        _check_settings(study, path, product, spec)
    except (ProductError, StudyError):
        return False
    return product.meta["study"] == study.name


def read_studies(
    studies: list[Study], paths: Iterable[str], needed: tuple[str, ...]
) -> dict[str, dict[tuple, Product]]:
    """The products of each study by its name; each has those that are needed."""
    own: dict[str, list[str]] = {study.name: [] for study in studies}
    for path in paths:
        name = io.load(path).meta.get("study")
        if name not in own:
            raise ProductError(
                f"{path} is of {name}, not of {' or '.join(own)}: delete it and run "
                "again"
            )
        own[name].append(path)
    found = {study.name: read_products(study, own[study.name]) for study in studies}
    for name, products in found.items():
        for product in needed:
            if (product, None, None) not in products:
                raise ProductError(f"no {product} of {name} among the inputs")
    return found


def _settings(
    study: Study, product: str, variant: str | None, width: int | None
) -> dict[str, Any] | None:
    """The settings that a product must have been made with, None if there is none."""
    if product in ("measurements", "claims"):
        return study.spec(MAKER[product])
    e = study.variants.get(variant)
    if product not in MAKER or e is None or (width and width not in e.widths):
        return None
    return study.spec(MAKER[product], variant, width or 0)


def _sources(job: Job) -> list[list]:
    """All that a product is made from, back to the data, and a digest of settings."""
    found: dict[tuple, str] = {}
    for read in job.products.values():
        earlier = read.meta.get("inputs", [])
        found |= {tuple(key): made_with for *key, made_with in earlier}
        found[read.key] = provenance.digest(read.meta["spec"])
    return sorted(([*key, made_with] for key, made_with in found.items()), key=str)


def _place(study: Study, variant: str | None, width: int | None) -> str:
    """Of which study, variant and width, in words."""
    parts = [study.name, variant, width and f"width {width}"]
    return ", ".join(part for part in parts if part)


def meta(job: Job, product: str, device: str = "") -> dict[str, Any]:
    """What a product says of itself: versions and devices with those of its inputs."""
    stage = MAKER[product]
    inputs = [read.meta for read in job.products.values()]
    about: dict[str, Any] = {"product": product, "study": job.study.name}
    if job.variant:
        about["variant"] = job.variant
    if job.width:
        about["width"] = job.width
    if job.figure:
        about["figure"] = job.figure
        about["spec"] = plain(job.study.figure(job.figure))
    else:
        about["spec"] = job.study.spec(stage, job.variant, job.width)
    about["inputs"] = _sources(job)
    about["versions"] = {
        name: provenance.together(own, *(i["versions"].get(name, own) for i in inputs))
        for name, own in provenance.versions().items()
    }
    device = provenance.together(device, *(i.get("device", "") for i in inputs))
    if device:
        about["device"] = device
    return about


def dataset(job: Job) -> None:
    """Draw the data, or read those of a user: dataset.npz."""
    import jax

    source = job.experiment.dataset
    if job.inputs:  # a user's file, which may have come here from somewhere else
        if source.kind != "npz":
            raise ProductError(f"--input: {job.variant} has no dataset.kind: npz")
        source = replace(source, path=job.inputs[0])
        job = replace(job, inputs=())
    key = jax.random.key(job.experiment.seed)
    # the networks' keys are folded in by width, the data's by a number no width has
    data = source.sample(jax.random.fold_in(key, 2**31 - 1))
    for first, second in metrics.duplicates(data.x_train)[:5]:
        log.warning("training points %d and %d are equal: H is singular", first, second)
    about = meta(job, "dataset")
    if source.kind == "npz":
        about["inputs"] = [[FILE, job.variant, None, io.users_digest(source.path)]]
    io.save(job.outputs[0], data._asdict(), about)
    log.info("dataset: x_train %s, y_train %s", data.x_train.shape, data.y_train.shape)


def train(job: Job) -> None:
    """Train all networks of one width, kernels measured on the way: network.npz."""
    import jax

    from ntkpipe import training
    from ntkpipe.datasets import Data

    e, begin = job.experiment, time.monotonic()
    trajectory = training.train(
        e.model,
        e.training,
        Data(**job.read("dataset")),
        job.width,
        jax.random.key(e.seed),
        e.seeds_at(job.width),
        e.dtype,
        Progress(),
    )
    device = provenance.device()
    io.save(job.outputs[0], trajectory, meta(job, "network", device))
    if trajectory["diverged"].any():
        log.warning(
            "%d of %d networks diverged: seeds %s",
            trajectory["diverged"].sum(),
            len(trajectory["seed"]),
            trajectory["seed"][trajectory["diverged"]].tolist(),
        )
    log.info(
        "train: %d seeds × width %d, at most %s steps, %s, %s, %.1f s",
        len(trajectory["seed"]),
        job.width,
        f"{e.training.steps:,}",
        e.dtype,
        device,
        time.monotonic() - begin,
    )


def linearize(job: Job) -> None:
    """The linearised model of each network in closed form: linearized.npz."""
    import jax

    from ntkpipe import linear

    e, network, data = job.experiment, job.read("network"), job.read("dataset")
    rate = e.training.learning_rate

    @jax.jit
    def predict(ntk, f_train, ntk_test, f_test):
        return linear.predict(
            ntk,
            f_train,
            data["y_train"],
            network["step"],
            rate,
            momentum=e.training.heavy_ball,
            flow=e.linearize == "flow",
            ntk_test=ntk_test,
            f0_test=f_test,
            alpha=e.model.alpha,
        )

    start = zip(
        network["ntk"][:, 0].astype(float),
        network["f_train"][:, 0].astype(float),
        network["ntk_test_train"][:, 0].astype(float),
        network["f_test"][:, 0].astype(float),
        strict=True,
    )
    models = [predict(*arrays) for arrays in start]
    arrays = {
        name: np.stack([np.asarray(getattr(model, name)) for model in models])
        for name in ("loss", "f_train", "f_test", "weight_change")
    }
    arrays |= {"step": network["step"], "seed": network["seed"]}
    io.save(job.outputs[0], arrays, meta(job, "linearized", provenance.device()))
    largest = linear.max_learning_rate(network["ntk"][0, 0], e.training.heavy_ball)
    if rate > largest and e.linearize == "steps":
        log.warning(
            "learning_rate %.3g is past the stability limit 2/λ_max = %.3g of the "
            "linearised model (seed 0): it diverges",
            rate,
            largest,
        )


def limit(job: Job) -> None:
    """Infinite width: kernels, mean and covariance of the ensemble: limit.npz."""
    from ntkpipe import infinite

    e, data = job.experiment, job.read("dataset")
    # all points at once: each shape of a kernel is compiled by itself
    whole = e.model.infinite(np.concatenate([data["x_train"], data["x_test"]]))
    train_, test = slice(len(data["x_train"])), slice(len(data["x_train"]), None)
    points = {
        name: infinite.Kernels(*(np.asarray(kernel)[block] for kernel in whole))
        for name, block in {
            "train_train": (train_, train_),
            "test_train": (test, train_),
            "test_test": (test, test),
        }.items()
    }
    # networks that begin at zero are one function in the limit, and have no covariance
    prior = 1.0 if e.model.zero_output == "none" else 0.0
    start = {name: k._replace(nngp=prior * k.nngp) for name, k in points.items()}
    step = e.training.recorded()
    rate = e.training.learning_rate
    times = {"steps": step, "learning_rate": rate}
    if e.limit == "flow":
        times = {"t": rate * step}
    arrays: dict[str, np.ndarray] = {"step": step}
    for name, kernels in points.items():
        arrays |= {
            f"nngp_{name}": kernels.nngp,
            f"ntk_{name}": kernels.ntk,
        }
    for name, across, own in (
        ("train", start["train_train"], start["train_train"]),
        ("test", start["test_train"], start["test_test"]),
    ):
        ensemble = infinite.ensemble(
            start["train_train"],
            across,
            own,
            data["y_train"],
            **times,
        )
        variance = np.maximum(np.einsum("tmm->tm", np.asarray(ensemble.cov)), 0)
        arrays |= {f"mean_{name}": ensemble.mean, f"sd_{name}": np.sqrt(variance)}
        if name == "test":
            arrays["cov_test"] = ensemble.cov[-1]
    io.save(job.outputs[0], arrays, meta(job, "limit", provenance.device()))


def constancy(job: Job) -> None:
    """How far kernel, weights and outputs went, at all widths: constancy.csv."""
    tables = [
        measurements.of_width(job.experiment, job.variant, width, job.at(width).read)
        for width in job.experiment.widths
    ]
    table = pd.concat(tables, ignore_index=True)
    io.save_table(job.outputs[0], table, meta(job, "constancy"))


def measure(job: Job) -> None:
    """All measurements of a study in one table: measurements.csv."""
    products = job.products
    for variant in job.study.variants:
        if ("constancy", variant, None) not in products:
            raise ProductError(f"no constancy of {variant} among the inputs")
    tables = [
        products["constancy", variant, None].data for variant in job.study.variants
    ]
    for variant, e in job.study.variants.items():
        if e.limit != "none":
            kernels = products["limit", variant, None].data
            tables.append(measurements.of_limit(e, variant, kernels))
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "study", job.study.name)
    io.save_table(job.outputs[0], table, meta(job, "measurements"))
    log.info("measure: %d values of %d metrics", len(table), table["metric"].nunique())


def claims(job: Job) -> None:
    """A verdict on each claim of a study: claims.csv."""
    from ntkpipe import claims as claims_

    table = job.read("measurements")
    verdicts = [claim.evaluate(table) for claim in job.study.claims]
    result = claims_.table(verdicts)
    result["study"] = job.study.name
    io.save_table(job.outputs[0], result, meta(job, "claims"))
    for verdict in verdicts:
        log.info("%s: %s", verdict.claim, verdict.verdict)


class Arrays:
    """The products of a study as figures ask for them: arrays(product, variant, n)."""

    def __init__(self, study: Study, products: dict[tuple, Product]):
        self._study, self._products = study, products

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """All variants of the study."""
        return tuple(self._study.variants)

    def widths(self, variant: str) -> tuple[int, ...]:
        """Widths of a variant."""
        return self._study.variants[variant].widths

    def experiment(self, variant: str) -> Experiment:
        """The settings of a variant."""
        return self._study.variants[variant]

    def __call__(self, product: str, variant: str, width: int | None = None) -> dict:
        """The arrays of a product."""
        if product == "dataset":
            variant = self._study.data_of(variant)
        try:
            return self._products[product, variant, width].data
        except KeyError:
            raise ProductError(
                f"no {product} of {variant}, width {width} among the inputs"
            ) from None


def figure(job: Job) -> None:
    """Draw one figure: its table as .csv, the picture as .png, .svg, .pdf or .gif."""
    from ntkpipe import plotting

    rows = job.read("measurements")
    drawn = job.study.figure(job.figure)
    pictures = [o for o in job.outputs if not o.endswith(".csv")]
    try:
        table = drawn.table(rows, Arrays(job.study, job.products))
        picture = drawn.draw(table)
        moving = getattr(drawn, "animated", False)
        frames = drawn.frames(table) if moving else None
        drawn_as = plotting.save(picture, pictures, frames)
    except (ValueError, LookupError) as error:
        # a list or table has no such place, a formula can't be read
        name = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        reason = name + " ".join(str(error).split())
        if not _has_faults(rows):
            own = f"figure {job.figure}: "
            raise ValueError(own + reason.removeprefix(own)) from error
        # the page is made all the same, and the picture says what is wrong
        log.warning("figure %s: %s", job.figure, reason)
        table = pd.DataFrame({"note": [reason]})
        picture = plotting.nothing(reason)
        drawn_as = plotting.save(picture, pictures, [picture])
    for output in set(job.outputs) - set(pictures):
        io.save_table(output, table, meta(job, "figure") | {"pictures": drawn_as})


def _has_faults(rows: pd.DataFrame) -> bool:
    """Whether networks diverged, died or have no value: a figure may lack its own."""
    fault = rows["metric"].isin(["diverged", "dead", "singular"]) & (rows["value"] == 1)
    return bool((fault | rows["metric"].str.startswith("undefined/")).any())


def report(
    studies: list[Study],
    inputs: list[str],
    output: str,
    runs: str | None = None,
    gallery: str | None = None,
):
    """The page of all studies: index.html."""
    from ntkpipe import gallery as gallery_
    from ntkpipe import report as report_

    products = [path for path in inputs if _is_product(path)]
    files = [Path(path) for path in inputs if not _is_product(path)]
    by_study = read_studies(studies, products, ("claims", "measurements"))
    pages = [
        _study_page(study, by_study[study.name], files, Path(output).parent, runs)
        for study in studies
    ]
    sources = gallery_.load(gallery) if gallery else ()
    page = report_.page(pages, _verdicts(by_study), provenance.versions(), sources)
    io.write(output, lambda file: file.write(page.encode()))


def verify(studies: list[Study], inputs: list[str]) -> int:
    """Print verdicts that did not come out as expected; 0 if there are none."""
    table = _verdicts(read_studies(studies, inputs, ("claims",)))
    other = table[~table["as_expected"].astype(bool)]
    for row in other.itertuples():
        print(
            f"{row.study}: {row.claim} is {row.verdict}, expected {row.expected}: "
            f"{row.estimate:.3g} [{row.ci_low:.3g}, {row.ci_high:.3g}], accepted "
            f"{row.tolerance}. {row.says}."
        )
        if isinstance(row.detail, str) and row.detail:
            print(f"    {row.detail}")
    print(f"{len(table) - len(other)} of {len(table)} verdicts are as expected")
    return 1 if len(other) else 0


def _verdicts(by_study: dict[str, dict[tuple, Product]]) -> pd.DataFrame:
    """The claims of all studies in one table."""
    tables = [own["claims", None, None].data for own in by_study.values()]
    return pd.concat(tables, ignore_index=True)


def _is_product(path: str) -> bool:
    return Path(path).name in ("claims.csv", "measurements.csv")


def _study_page(study, products, files, folder, runs):
    """What the page shows of one study."""
    from ntkpipe import report as report_

    claims_, table = (products[name, None, None] for name in ("claims", "measurements"))
    warnings, remarks = _warnings(study, table.data)
    figures = []
    for figure_ in study.figures:
        own = [
            path
            for path in files
            if path.stem == figure_.name
            and path.parts[-3:-1] == (study.name, "figures")
        ]
        found = {path.suffix[1:]: path for path in own}
        # all of them, also those that are only linked
        shown = _pictures(study, figure_, found)
        figures.append(
            report_.FigurePage(
                name=figure_.name,
                title=figure_.title,
                caption=figure_.caption,
                after=figure_.after,
                svg=shown.get("svg", b""),
                png=shown.get("png", b""),
                gif=shown.get("gif", b""),
                files={e: os.path.relpath(p, folder) for e, p in found.items()},
            )
        )
    return report_.StudyPage(
        name=study.name,
        title=study.title,
        question=study.question,
        source=study.source,
        notes=study.notes,
        yaml=study.text,
        figures=figures,
        runtime_s=_run_time(study, runs),
        device=table.meta.get("device", ""),
        seeds=_seeds(study),
        versions=claims_.meta["versions"],
        warnings=warnings,
        remarks=remarks,
        files={
            f"{name}.csv": f"{study.name}/{name}.csv"
            for name in ("claims", "measurements")
        },
    )


def _pictures(study, figure_, files: dict[str, Path]) -> dict[str, bytes]:
    """The pictures of a figure by their endings, as they were drawn with its table."""
    pictures = {ending: path for ending, path in files.items() if ending != "csv"}
    if not pictures:
        return {}
    if "csv" not in files:
        raise ProductError(f"no table of the figure {figure_.name} among the inputs")
    path = str(files["csv"])
    table = io.load(path)
    about = {"product": "figure", "study": study.name, "figure": figure_.name}
    io.check(path, table, about)
    _check_settings(study, path, table, plain(figure_))
    digests = table.meta["pictures"]
    return {e: io.read_picture(p, digests.get(e)) for e, p in pictures.items()}


def _warnings(study: Study, table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Which numbers are not there or worth nothing, and what else one should know.

    Widths of a variant of which the same is said share a line.
    """
    found: dict[tuple[bool, str, str], list[int]] = {}
    for (variant, width), rows in table.groupby(["variant", "width"], sort=False):
        for fault, says in _doubts(rows, study.variants[variant]):
            found.setdefault((fault, variant, says), []).append(width)
    notes: dict[bool, list[str]] = {True: [], False: []}
    for (fault, variant, says), widths in found.items():
        what = "width" if len(widths) == 1 else "widths"
        # the exact kernels are in the table as those of width 0
        names = ", ".join(str(width or "∞") for width in widths)
        notes[fault].append(f"{_called(study, variant)}, {what} {names}: {says}")
    return notes[True], notes[False]


def _called(study: Study, variant: str) -> str:
    """A variant, and what the first figure with a label for it calls it."""
    for figure_ in study.figures:
        label = getattr(figure_, "labels", {}).get(variant, variant)
        if label.casefold() != variant.casefold():
            return f"{variant} ({label})"
    return variant


def _doubts(rows: pd.DataFrame, e: Experiment) -> Iterator[tuple[bool, str]]:
    """What makes the numbers of one width doubtful: (whether it is a fault, in words).

    A fault is a network or a number that is not there. The rest may be intended.
    """
    lost = rows.loc[rows["metric"] == "diverged", "value"]
    if lost.any():
        yield True, f"{_some(lost.sum(), len(lost))} diverged"
    seeds = {
        metric: set(rows.loc[(rows["metric"] == metric) & (rows["value"] > 0), "seed"])
        for metric in ("dead", "singular", "unresolved")
    }
    for metric, one, many, says in (
        ("dead", "is", "are", "dead: the last hidden layer is the same for all points"),
        # no cause is named: equal or antipodal points, few weights, few frequencies …
        ("singular", "has", "have", "a singular kernel: λ_min is 0 but for rounding"),
        ("unresolved", "moved its", "moved their", "kernel by less than rounding does"),
    ):
        count = len(seeds[metric])
        if count:
            total = rows.loc[rows["metric"] == metric, "seed"].nunique()
            verb = one if count == 1 else many
            yield metric == "dead", f"{_some(count, total)} {verb} {says}"
    rate = rows[(rows["metric"] == "learning_rate_relative") & (rows["step"] == 0)]
    # gradient descent is stable up to η = 2/λ_max, the heavy ball to 2(1 + β)/λ_max
    unstable = set(rate.loc[rate["value"] > 1 + e.training.heavy_ball, "seed"])
    yield from _undefined(rows, seeds["dead"], unstable)
    if unstable and e.training.steps and e.training.optimizer != "adam":
        limit = "2(1 + β)/λ_max" if e.training.heavy_ball else "2/λ_max"
        yield (
            False,
            f"the learning rate is past the stability limit {limit} of "
            f"{_some(len(unstable), len(rate), 'linearised model')}",
        )
    if e.training.stop_at_loss is not None:
        reached = rows.loc[rows["metric"] == "converged", "value"]
        if not reached.all():
            missed = _some((1 - reached).sum(), len(reached))
            yield (
                False,
                f"{missed} did not reach the loss to stop at in {e.training.steps:,} "
                "steps",
            )


def _undefined(
    rows: pd.DataFrame, dead: set[int], unstable: set[int]
) -> Iterator[tuple[bool, str]]:
    """Which metrics have no value of which networks, and why where that is known."""
    prefix = "undefined/"
    undefined = rows[rows["metric"].str.startswith(prefix) & (rows["value"] > 0)]
    found: dict[tuple[bool, str], list[str]] = {}
    for metric, own in undefined.groupby("metric", sort=False):
        name, seeds = metric.removeprefix(prefix), set(own["seed"])
        count = _some(len(seeds), rows["seed"].nunique())
        have = f"{count} {'has' if len(seeds) == 1 else 'have'} no value of {{}}"
        if (own["width"] == 0).all():
            because = (True, "without a value (0/0) are {}")
        elif seeds <= dead:
            because = (True, f"without a value (0/0) are {{}}: {count}, all dead")
        elif name.startswith("linear_") and seeds <= unstable:
            because = (
                False,
                f"{have}, as the linearised model diverged past the stability limit",
            )
        else:
            because = (True, have)
        found.setdefault(because, []).append(name)
    for (fault, says), names in found.items():
        yield fault, says.format(", ".join(names))


def _some(count: float, total: int, what: str = "network") -> str:
    """3 of 4 networks, 1 of 1 network."""
    return f"{count:.0f} of {total} {what}{'' if total == 1 else 's'}"


def _seeds(study: Study) -> str:
    """How many networks there are at a width, and the seed they are drawn from."""
    numbers = sorted({study.variants[v].seeds_at(width) for v, width in study.jobs()})
    seeds = sorted({e.seed for e in study.variants.values()})
    many = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
    networks = "network" if numbers == [1] else "networks"
    return f"{many} {networks} a width, seed {', '.join(map(str, seeds))}"


def _run_time(study: Study, runs: str | None) -> float | None:
    """Seconds that all jobs of a study took, where they were measured."""
    if runs is None:
        return None
    tables = set(Path(runs, study.name).rglob("*.tsv"))
    for variant, e in study.variants.items():
        own = Path(runs, study.name, variant)
        widths = {f"width{width}" for width in e.widths}
        tables -= {t for t in own.glob("width*/*.tsv") if t.parent.name not in widths}
        # short widths trained together or alone, whichever was last
        alone = tables & {own / f"width{n}/train.tsv" for n in cost.short_widths(e)}
        if own / "train.tsv" in tables and alone:
            last = max((own / "train.tsv", *alone), key=lambda t: t.stat().st_mtime)
            tables -= alone if last not in alone else {own / "train.tsv"}
    if not tables:
        return None
    try:
        return float(
            sum(pd.read_csv(path, sep="\t")["s"].sum() for path in sorted(tables))
        )
    except (ValueError, KeyError, TypeError):
        return None  # a run that was killed leaves half a table
