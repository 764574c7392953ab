rule constancy:
    input:
        dataset,
        "<results>/{study}/{variant}/width{width}/network.npz",
        linearized,
        limit,
    output:
        "<results>/{study}/{variant}/width{width}/constancy.csv",
    log:
        "<logs>/{study}/{variant}/width{width}/constancy.log",
    benchmark:
        "<benchmarks>/{study}/{variant}/width{width}/constancy.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=growing(kernel_mem_mb),
        runtime=growing(kernel_minutes),
    params:
        study=study_file,
        spec=settings("constancy"),
        code=code("constancy"),
    message:
        "{wildcards.study}: kernels of {wildcards.variant} at width {wildcards.width}"
    shell:
        "python -m ntkpipe constancy {params.study:q} --variant {wildcards.variant} "
        "--width {wildcards.width} --input {input:q} --output {output:q} "
        "--threads {threads} > {log:q} 2>&1"
