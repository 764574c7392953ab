# The study. What it does is in workflow/Snakefile, what it studies in config/.
configfile: "config/config.yaml"


module ntkpipe:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from ntkpipe
