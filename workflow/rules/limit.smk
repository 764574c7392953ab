rule limit:
    input:
        inputs("limit"),
    output:
        "<results>/{study}/{variant}/limit.npz",
    log:
        "<logs>/{study}/{variant}/limit.log",
    benchmark:
        "<benchmarks>/{study}/{variant}/limit.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("limit", at_least=2000),
        runtime=minutes("limit", at_least=30),
    params:
        study=study_file,
        spec=settings("limit"),
        code=code("limit"),
    message:
        "{wildcards.study}: infinite width of {wildcards.variant}"
    shell:
        "python -m ntkpipe limit {params.study:q} --variant {wildcards.variant} "
        "--input {input:q} --output {output:q} --threads {threads} > {log:q} 2>&1"
