rule figure:
    input:
        inputs("figure"),
    output:
        csv="<results>/{study}/figures/{figure}.csv",
        record="<results>/{study}/figures/{figure}.csv.json",
        png=report(
            "<results>/{study}/figures/{figure}.png",
            caption="../report/figure.rst",
            category="{study}",
            labels={"what": "{figure}", "file": "png"},
        ),
        svg="<results>/{study}/figures/{figure}.svg",
        pdf="<results>/{study}/figures/{figure}.pdf",
        column="<results>/{study}/figures/{figure}.column.pdf",
    log:
        "<logs>/{study}/figures/{figure}.log",
    benchmark:
        "<benchmarks>/{study}/figures/{figure}.tsv"
    wildcard_constraints:
        figure=named_figures(animated=False),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("figure", at_least=2000),
        runtime=minutes("figure"),
    params:
        study=study_file,
        spec=settings("figure"),
        code=code("figure"),
    message:
        "{wildcards.study}: figure {wildcards.figure}"
    shell:
        "python -m ntkpipe figure {params.study:q} --name {wildcards.figure} "
        "--input {input:q} --output {output:q} --threads {threads} > {log:q} 2>&1"


use rule figure as animation with:
    output:
        csv="<results>/{study}/figures/{figure}.csv",
        record="<results>/{study}/figures/{figure}.csv.json",
        png="<results>/{study}/figures/{figure}.png",
        gif=report(
            "<results>/{study}/figures/{figure}.gif",
            caption="../report/figure.rst",
            category="{study}",
            labels={"what": "{figure}", "file": "gif"},
        ),
    wildcard_constraints:
        figure=named_figures(animated=True),
    message:
        "{wildcards.study}: animation {wildcards.figure}"
