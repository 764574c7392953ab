rule constancy:
    input:
        inputs("constancy"),
    output:
        with_record("<results>/{study}/{variant}/constancy.csv"),
    log:
        "<logs>/{study}/{variant}/constancy.log",
    benchmark:
        "<benchmarks>/{study}/{variant}/constancy.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("constancy", at_least=1000),
        runtime=minutes("constancy"),
    params:
        study=study_file,
        spec=settings("constancy"),
        code=code("constancy"),
    message:
        "{wildcards.study}: metrics of {wildcards.variant}"
    shell:
        "python -m ntkpipe constancy {params.study:q} --variant {wildcards.variant} "
        "--input {input:q} --output {output:q} --threads {threads} > {log:q} 2>&1"
