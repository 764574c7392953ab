rule claims:
    input:
        inputs("claims"),
    output:
        report(
            "<results>/{study}/claims.csv",
            caption="../report/claims.rst",
            category="{study}",
            labels={"what": "claims", "file": "csv"},
        ),
        "<results>/{study}/claims.csv.json",
    log:
        "<logs>/{study}/claims.log",
    benchmark:
        "<benchmarks>/{study}/claims.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("claims", at_least=2000),
        runtime=minutes("claims"),
    params:
        study=study_file,
        spec=settings("claims"),
        code=code("claims"),
    message:
        "{wildcards.study}: verdicts"
    shell:
        "python -m ntkpipe claims {params.study:q} --input {input:q} "
        "--output {output:q} --threads {threads} > {log:q} 2>&1"
