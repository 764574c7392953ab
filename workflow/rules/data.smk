rule dataset:
    input:
        users_file("dataset"),
    output:
        "<results>/{study}/{variant}/dataset.npz",
    log:
        "<logs>/{study}/{variant}/dataset.log",
    benchmark:
        "<benchmarks>/{study}/{variant}/dataset.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("dataset", at_least=1000),
        runtime=minutes("dataset"),
    params:
        study=study_file,
        spec=settings("dataset"),
        code=code("dataset"),
    message:
        "{wildcards.study}: data of {wildcards.variant}"
    shell:
        "python -m ntkpipe dataset {params.study:q} --variant {wildcards.variant} "
        "--input {input:q} --output {output:q} --threads {threads} > {log:q} 2>&1"
