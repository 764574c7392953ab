rule train:
    input:
        dataset,
    output:
        "<results>/{study}/{variant}/width{width}/network.npz",
    log:
        "<logs>/{study}/{variant}/width{width}/train.log",
    benchmark:
        "<benchmarks>/{study}/{variant}/width{width}/train.tsv"
    wildcard_constraints:
        width=width_alone(),
    conda:
        "../../environment.yml"
    threads: train_threads
    resources:
        mem_mb=growing(train_mem_mb),
        runtime=growing(train_minutes),
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


# Where `together` says so, networks that train faster than a job starts share one. These
# rules differ in their outputs, the networks of as many widths as there are.
for widths in TOGETHER:

    rule:
        name:
            "train_" + "_".join(map(str, widths))
        input:
            dataset,
        output:
            [
                f"<results>/{{study}}/{{variant}}/width{width}/network.npz"
                for width in widths
            ],
        log:
            "<logs>/{study}/{variant}/train.log",
        benchmark:
            "<benchmarks>/{study}/{variant}/train.tsv"
        wildcard_constraints:
            variant=variant_of(TOGETHER[widths]),
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=growing(of_widths(cost.train_mb, widths, at_least=1000)),
            runtime=growing(of_widths(cost.train_flop, widths, at_least=10, each=CORE)),
        params:
            study=study_file,
            widths=widths,
            spec=settings("train", widths),
            code=code("train"),
        message:
            "{wildcards.study}: training {wildcards.variant} at widths {params.widths}"
        shell:
            "python -m ntkpipe train {params.study:q} --variant {wildcards.variant} "
            "--width {params.widths} --input {input:q} --output {output:q} "
            "--threads {threads} --gpu 0 > {log:q} 2>&1"
