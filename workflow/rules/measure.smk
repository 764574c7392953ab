rule measure:
    input:
        inputs("measure"),
    output:
        with_record("<results>/{study}/measurements.csv"),
    log:
        "<logs>/{study}/measure.log",
    benchmark:
        "<benchmarks>/{study}/measure.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("measure", at_least=2000),
        runtime=minutes("measure"),
    params:
        study=study_file,
        spec=settings("measure"),
        code=code("measure"),
    message:
        "{wildcards.study}: all measurements in one table"
    shell:
        "python -m ntkpipe measure {params.study:q} --input {input:q} "
        "--output {output:q} --threads {threads} > {log:q} 2>&1"
