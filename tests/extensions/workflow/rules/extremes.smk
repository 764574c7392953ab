rule extremes:
    input:
        inputs("extremes"),
    output:
        with_record("<results>/{study}/{variant}/extremes.csv"),
    log:
        "<logs>/{study}/{variant}/extremes.log",
    benchmark:
        "<benchmarks>/{study}/{variant}/extremes.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("extremes", at_least=1000),
        runtime=minutes("extremes"),
    params:
        study=study_file,
        spec=settings("extremes"),
        code=code("extremes"),
    message:
        "{wildcards.study}: extremes of {wildcards.variant}"
    shell:
        "python -m ntkpipe extremes {params.study:q} --variant {wildcards.variant} "
        "--input {input:q} --output {output:q} --threads {threads} > {log:q} 2>&1"
