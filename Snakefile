# The rules are in workflow/Snakefile, the studies in config/.
from ntkpipe.terminal import hooks


configfile: "config/config.yaml"


module ntkpipe:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from ntkpipe


# Snakemake's rate limiter (100 jobs/s) re-arms a timer after every scheduling pass; the
# timers accumulate and used 13 % of the CPU. Local jobs need no limit, so it is removed
# unless the user set one. Clusters keep it.
# (The hook is here because Snakemake ignores hooks in a module.)
onstart:
    limit = workflow.scheduler.job_rate_limiter
    if (
        workflow.local_exec
        and limit
        and (limit.max_jobs, limit.timespan) == (100, 1)
    ):
        workflow.scheduler.job_rate_limiter = None
    hooks.announce(workflow)
