# The study. What it does is in workflow/Snakefile, what it studies in config/.
configfile: "config/config.yaml"


module ntkpipe:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from ntkpipe


# Snakemake limits itself to 100 jobs a second and for that plans, after each look at the
# waiting jobs, another one a second later. These come on top of the looks when a job ends
# and never stop: in the default study they came to hundreds a second and took 13 % of the
# processor time. Jobs of seconds don't need the limit, unless somebody sets another one;
# a cluster may, and keeps it.
# (The hook is here as Snakemake takes none from a module.)
onstart:
    limit = workflow.scheduler.job_rate_limiter
    if (
        workflow.local_exec
        and limit
        and (limit.max_jobs, limit.timespan) == (100, 1)
    ):
        workflow.scheduler.job_rate_limiter = None
