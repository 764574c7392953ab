"""What the profile and the Snakefile tell the plugin.

Each function does nothing if another logger was chosen.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

from ntkpipe.terminal.plugin import NAME, LogHandler


def register() -> bool:
    """Make the plugin known to Snakemake; whether it can be used.

    Snakemake finds plugins by the names of installed packages. It does not see those of
    a package that is installed with `pip install -e`, or is only on PYTHONPATH. The
    default profile calls this function.
    """
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

    if importlib.util.find_spec("rich") is None:
        return False
    plugin = sys.modules[LogHandler.__module__]
    LoggerPluginRegistry().register_plugin(f"snakemake_logger_plugin_{NAME}", plugin)
    return True


def introduce(
    workflow: Any, studies: Mapping[str, Any], results: str, logs: str
) -> None:
    """Tell the plugin what the run is about, before the jobs are known."""
    if handler := _handler(workflow):

        def targets() -> Any:  # known after the Snakefile was read
            return workflow.dag_settings.targets if workflow.dag_settings else ()

        handler.introduce(studies, results, logs, targets)


def announce(workflow: Any) -> None:
    """Tell the plugin which jobs will run, before the first one starts."""
    if handler := _handler(workflow):
        handler.plan(list(_planned(workflow, handler.studies)))


def _handler(workflow: Any) -> LogHandler | None:
    handlers = workflow.logger_manager.plugin_handlers
    return next((h for h in handlers if isinstance(h, LogHandler)), None)


def _planned(workflow: Any, studies: Mapping[str, Any]) -> Any:
    """The jobs of the plan, with the core seconds that `ntkpipe.cost` predicts."""
    from ntkpipe.stages import plan
    from ntkpipe.terminal.board import Planned

    dag = workflow.dag
    jobs = list(dag.needrun_jobs())
    ids = {job: job.jobid for job in jobs}
    has_gpu = not workflow.local_exec or "gpu" in workflow.global_resources
    for job in jobs:
        at = plan.place(studies, job.wildcards_dict)
        cost = plan.of_job(job.rule.name, at)
        on_gpu = has_gpu and job.rule.name == "train" and job.resources.get("gpu")
        yield Planned(
            ids[job],
            job.rule.name,
            at.study.name if at else "",
            2 * (cost.gpu_s if on_gpu else cost.cores_s),
            at.experiment.seeds_at(at.width) if at and at.width else 1,
            max(0, job.restart_times),
            tuple(ids[need] for need in dag.dependencies[job] if need in ids),
        )
