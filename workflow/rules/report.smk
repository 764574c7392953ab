# The page shows the studies of the run, and the others in the folder that have results.
rule report:
    input:
        collect(with_record("<results>/{study}/claims.csv"), study=STUDIES),
        collect(with_record("<results>/{study}/measurements.csv"), study=STUDIES),
        all_figures,
    output:
        report(
            "<results>/index.html",
            caption="../report/page.rst",
            category="all studies",
            labels={"what": "page of all studies", "file": "html"},
        ),
    log:
        "<logs>/report.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        studies=study_files,
        folder=config["studies"],
        logs=LOGS,
        benchmarks=BENCHMARKS,
        gallery=config["gallery"],
        answers=config["answers"],
        spec=shown,
        code=code_of("report"),
    message:
        "the page of all studies"
    shell:
        "python -m ntkpipe report {params.studies:q} --input {input:q} "
        "--output {output:q} --studies={params.folder:q} --logs={params.logs:q} "
        "--benchmarks={params.benchmarks:q} --snakemake=.snakemake/log "
        "--gallery={params.gallery:q} --answers={params.answers:q} --threads {threads} > {log:q} 2>&1"
