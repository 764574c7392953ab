"""Which claims the page shows beside which figure of a study."""

import fnmatch
from collections.abc import Collection, Iterator

from ntkpipe.claims import Claim
from ntkpipe.figures import Figure
from ntkpipe.study import Study


def claims_beside(study: Study) -> dict[str, tuple[str, ...]]:
    """The ids of the claims that belong to each figure of a study, by its name.

    A figure may name its claims (`claims:`). Otherwise they are the claims about its
    metrics and variants, and about its metrics alone if no figure has the variants. The
    only figure of a study has all claims.
    """
    alone = len(study.figures) == 1
    about = {
        claim.id: {f.name for f in study.figures if _have_metric(claim, f)}
        for claim in study.claims
    }
    for claim in study.claims:
        close = {f.name for f in study.figures if _have_variant(claim, f)}
        about[claim.id] = about[claim.id] & close or about[claim.id]
    return {
        figure.name: tuple(
            claim.id
            for claim in study.claims
            if (
                alone or figure.name in about[claim.id]
                if figure.claims is None
                else claim.id in figure.claims
            )
        )
        for figure in study.figures
    }


def _have_variant(claim: Claim, figure: Figure) -> bool:
    """Whether a claim and a figure have a variant in common."""
    shown, read = figure.variants_read(), claim.variants()
    return not shown or not read or bool({*shown} & {*read})


def _have_metric(claim: Claim, figure: Figure) -> bool:
    """Whether a claim and a figure have a metric in common."""
    drawn = [*_drawn(figure)]
    return any(_match(one, drawn) for _, one, _ in claim.metrics_read())


def _drawn(figure: Figure) -> Iterator[str]:
    """The metrics of a figure, and the recorded quantities of its panels."""
    yield from (name for _, name, _ in figure.metrics_read())
    yield from (panel.quantity for panel in getattr(figure, "panels", ()))


def _match(name: str, others: Collection[str]) -> bool:
    """Whether a name is, or matches, one of the others; either may be a pattern."""
    return any(
        fnmatch.fnmatchcase(name, other) or fnmatch.fnmatchcase(other, name)
        for other in others
    )
