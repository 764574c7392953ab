"""The stages of the method, in order; each module defines one.

The command line and the workflow loop over `STAGES`.
"""

from typing import Any

from ntkpipe.stages.claims import CLAIMS
from ntkpipe.stages.constancy import CONSTANCY
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.figure import FIGURE
from ntkpipe.stages.limit import LIMIT
from ntkpipe.stages.linearize import LINEARIZE
from ntkpipe.stages.measure import MEASURE
from ntkpipe.stages.report import REPORT
from ntkpipe.stages.stage import Place, Stage
from ntkpipe.stages.train import TRAIN
from ntkpipe.study import Study

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        DATASET,
        TRAIN,
        LINEARIZE,
        LIMIT,
        CONSTANCY,
        MEASURE,
        CLAIMS,
        FIGURE,
        REPORT,
    )
}


def settings(stage: str, study: Study, variant: str = "", width: int = 0) -> Any:
    """The settings that a stage reads itself, as JSON values."""
    return STAGES[stage].spec(Place(study, variant, width))
