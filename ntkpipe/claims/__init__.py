"""Claims of the literature, each judged on the table of measurements.

A claim states a prediction, a measured quantity and an accepted band. Its verdict is
*supported*, *contradicted* or *inconclusive*, or *missing* if the table lacks values
that the claim reads. A control is a claim we know to be false. A verdict is an
equivalence test of an interval (`ntkpipe.claims.statistics`), never "the interval
contains p".
"""

from typing import Annotated

from pydantic import Field

from ntkpipe.claims.base import Verdict, judge_all, table
from ntkpipe.claims.bound import Bound
from ntkpipe.claims.collapse import Collapse
from ntkpipe.claims.equals import Equals
from ntkpipe.claims.fraction import Fraction
from ntkpipe.claims.normal import Normal
from ntkpipe.claims.ordering import Ordering
from ntkpipe.claims.power_law import PowerLaw
from ntkpipe.claims.ratio import Ratio
from ntkpipe.claims.typical import Typical

Claim = Annotated[
    PowerLaw
    | Equals
    | Bound
    | Ordering
    | Normal
    | Ratio
    | Fraction
    | Typical
    | Collapse,
    Field(discriminator="kind"),
]

__all__ = ["Claim", "Verdict", "judge_all", "table"]
