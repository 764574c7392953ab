rule linearize:
    input:
        inputs("linearize"),
    output:
        "<results>/{study}/{variant}/width{width}/linearized.npz",
    log:
        "<logs>/{study}/{variant}/width{width}/linearize.log",
    benchmark:
        "<benchmarks>/{study}/{variant}/width{width}/linearize.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("linearize", at_least=1000),
        runtime=minutes("linearize"),
        gpu=kernel_gpu,
    params:
        study=study_file,
        spec=settings("linearize"),
        code=code("linearize"),
    message:
        "{wildcards.study}: linearising {wildcards.variant} at width {wildcards.width}"
    shell:
        "python -m ntkpipe linearize {params.study:q} --variant {wildcards.variant} "
        "--width {wildcards.width} --input {input:q} --output {output:q} "
        "--threads {threads} --gpu {resources.gpu} > {log:q} 2>&1"
