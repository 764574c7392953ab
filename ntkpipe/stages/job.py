"""A job: one stage at one place. It reads and checks products, and writes one.

Inputs are identified by their metadata, so their order on the command line is free.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ntkpipe import artifacts, provenance
from ntkpipe.artifacts import Product, ProductError
from ntkpipe.experiment import Experiment
from ntkpipe.stages.stage import Place, Stage, makers
from ntkpipe.study import Study

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("ntkpipe")
USER_FILE = "file"  # the name of a user's file in the lineage of a product


@dataclass(frozen=True)
class Job:
    """One command: a stage at a place, with its input and output files."""

    stage: Stage
    at: Place
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    studies: tuple[Study, ...] = ()
    """All studies, for a stage that is run once for all."""
    options: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def study(self) -> Study:
        """The study of the job's place."""
        return self.at.study

    @property
    def experiment(self) -> Experiment:
        """The experiment of the job's variant."""
        return self.at.experiment

    @cached_property
    def file(self) -> str | None:
        """Path of the user's file; a storage plugin may have copied it."""
        stated = self.stage.file(self.at)
        if stated is None:
            return None
        return next((p for p in self.inputs if not self._is_product(p)), stated)

    @cached_property
    def products(self) -> dict[tuple, Product]:
        """All inputs but the user's file by (product, variant, width), checked."""
        made = [path for path in self.inputs if path != self.file]
        return read_products(self.study, made, *self.stage.reads)

    def _is_product(self, path: str) -> bool:
        """Whether a file names a product that the stage reads."""
        try:
            made = artifacts.load_meta(path).get("product")
        except ProductError:
            return False
        return made in [source.product for source in self.stage.reads]

    def read(self, product: str, variant: str = "", width: int = 0) -> Any:
        """The arrays or the table of an input, by default of the job's place."""
        at = self.at._replace(
            variant=variant or self.at.variant, width=width or self.at.width
        )
        maker = makers(self.stage.reads)[product]
        if at.variant:
            at = at._replace(variant=maker.variant_of(at))
        found = self.products.get((product, at.variant or None, at.width or None)) or (
            self.products.get((product, at.variant or None, None))
        )
        if found is None:
            others = [
                f"{path} holds the {product} of {_describe(self.study, *key[1:])}; if "
                "it was copied or renamed by hand, delete it and run again"
                for path, key in zip(self.inputs, self.products, strict=True)
                if key[0] == product
            ]
            raise ProductError(
                f"no {product} of {at} among the inputs "
                f"({'; '.join(others or self.inputs) or 'none'})"
            )
        return found.data

    def write(self, arrays: Mapping[str, Any], device: str = "", **about: Any) -> None:
        """Write the product's arrays and metadata."""
        artifacts.save(self.outputs[0], arrays, self.about(device) | about)

    def write_table(self, table: pd.DataFrame, output: str = "", **about: Any) -> None:
        """Write the product's table and metadata."""
        artifacts.save_table(output or self.outputs[0], table, self.about() | about)

    def about(self, device: str = "") -> dict[str, Any]:
        """The metadata of the product, with versions and devices of its inputs."""
        inputs = [read.meta for read in self.products.values()]
        place = {"variant": self.at.variant, "width": self.at.width}
        place["figure"] = self.at.figure
        about = {
            "product": self.stage.product,
            "study": self.study.name,
            **{name: value for name, value in place.items() if value},
            "spec": self.stage.spec(self.at),
            "inputs": self._lineage(),
        }
        about["versions"] = {
            name: provenance.join_unique(
                own, *(i["versions"].get(name, own) for i in inputs)
            )
            for name, own in provenance.versions().items()
        }
        device = provenance.join_unique(device, *(i.get("device", "") for i in inputs))
        return about | ({"device": device} if device else {})

    def _lineage(self) -> list[list]:
        """Every upstream artifact, each with a digest of its settings."""
        found: dict[tuple, str] = {}
        for read in self.products.values():
            earlier = read.meta.get("inputs", [])
            found |= {tuple(key): made_with for *key, made_with in earlier}
            found[read.key] = provenance.digest(read.meta["spec"])
        if self.file is not None:
            place = self.at.variant or None, self.at.width or None
            found[(USER_FILE, *place)] = artifacts.users_digest(self.file) or ""
        return sorted(([*key, made_with] for key, made_with in found.items()), key=str)


def read_products(
    study: Study, paths: Iterable[str], *sources: Stage
) -> dict[tuple, Product]:
    """Products by (product, variant, width), each made with the study's settings.

    `sources` are the stages that make the products. The settings of every upstream
    artifact are checked, too: a table does not store the seed itself, but the networks
    behind the table do.
    """
    known = makers(sources)
    found: dict[tuple, Product] = {}
    origin: dict = {}
    files: dict = {}
    for path in paths:
        product = artifacts.load(path)
        kind, variant, width = product.key
        if kind not in known:
            raise ProductError(
                f"{path} is the {kind} of {product.meta.get('study')}, which this "
                "command does not read"
            )
        spec = _settings(known, study, *product.key)
        if spec is None or product.meta.get("study") != study.name:
            raise ProductError(
                f"{path} is the {kind} of {product.meta.get('study')}, {variant}, "
                f"which {study.name} does not have: delete it and run again"
            )
        check_settings(study, path, product, *sources)
        if product.key in found:
            # either file may be the misplaced one
            raise ProductError(
                f"{origin[product.key]} and {path} are both the {kind} of "
                f"{_describe(study, variant, width)}: delete both and run again"
            )
        found[product.key], origin[product.key] = product, path
        for source, *where, made_with in product.meta.get("inputs", []):
            if source != USER_FILE:
                continue
            first = files.setdefault(tuple(where), (made_with, path))
            if first[0] != made_with:
                raise ProductError(
                    f"{first[1]} and {path} were made from different files of "
                    f"{_describe(study, *where)}: delete both and run again"
                )
    return found


def read_studies(
    studies: Iterable[Study], paths: Iterable[str], *sources: Stage
) -> dict[str, dict[tuple, Product]]:
    """The products of each study, by its name; each stage must have made one."""
    own: dict[str, list[str]] = {study.name: [] for study in studies}
    for path in paths:
        name = artifacts.load(path).meta.get("study")
        if name not in own:
            raise ProductError(
                f"{path} belongs to {name}, not to {' or '.join(own)}: delete it and "
                "run again"
            )
        own[name].append(path)
    found = {
        study.name: read_products(study, own[study.name], *sources) for study in studies
    }
    for name, products in found.items():
        for product in (source.product for source in sources):
            if (product, None, None) not in products:
                raise ProductError(f"no {product} of {name} among the inputs")
    return found


def check_settings(study: Study, path: str, product: Product, *sources: Stage) -> None:
    """Raise if a product, or an input of it, has other settings or data.

    A user's file that no longer exists is not checked.
    """
    known = makers(sources)
    figure = product.meta.get("figure", "")
    kind, variant, width = product.key
    spec = _settings(known, study, kind, variant, width, figure)
    artifacts.check(path, product, {"spec": spec})
    for *source, made_with in product.meta.get("inputs", []):
        if source[0] == USER_FILE:
            file = _users_file(known, study, *source[1:])
            if artifacts.users_digest(file) not in (None, made_with):
                raise ProductError(
                    f"{path} was made from another version of {file}: delete it and "
                    "run again"
                )
        elif provenance.digest(_settings(known, study, *source)) != made_with:
            raise ProductError(
                f"{path} was made from a {source[0]} of "
                f"{_describe(study, *source[1:])} with other settings: delete it and "
                "run again"
            )


def _settings(
    known: Mapping[str, Stage],
    study: Study,
    product: str,
    variant: str | None,
    width: int | None,
    figure: str = "",
) -> Any:
    """The settings that a product must have; None if the study has no such product."""
    at = Place(study, variant or "", width or 0, figure)
    maker = known.get(product)
    return maker.spec(at) if maker and maker.is_at(at) else None


def _users_file(
    known: Mapping[str, Stage], study: Study, variant: str, width: int | None
) -> str:
    """Path of the file that a stage reads at a place, with a width or without."""
    at = Place(study, variant, width or 0)
    per = "width" if width else "variant"
    return next((f for s in known.values() if s.per == per and (f := s.file(at))), "")


def _describe(study: Study, variant: str | None, width: int | None) -> str:
    """`width, torch, width 100`, for messages."""
    return str(Place(study, variant or "", width or 0))
