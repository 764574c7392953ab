rule train:
    input:
        inputs("train"),
        users_file("train"),
    output:
        "<results>/{study}/{variant}/width{width}/network.npz",
    log:
        "<logs>/{study}/{variant}/width{width}/train.log",
    benchmark:
        "<benchmarks>/{study}/{variant}/width{width}/train.tsv"
    conda:
        "../../environment.yml"
    threads: train_threads
    resources:
        mem_mb=memory("train", at_least=1000),
        runtime=minutes("train", each=CORE),
        gpu=train_gpu,
    params:
        study=study_file,
        spec=settings("train"),
        code=code("train"),
    message:
        "{wildcards.study}: training {wildcards.variant} at width {wildcards.width}"
    shell:
        "python -m ntkpipe train {params.study:q} --variant {wildcards.variant} "
        "--width {wildcards.width} --input {input:q} --output {output:q} "
        "--threads {threads} --gpu {resources.gpu} > {log:q} 2>&1"
