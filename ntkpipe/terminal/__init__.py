"""What the terminal shows of a run, and the words of `./run`.

`plugin` receives the messages of Snakemake, `board` keeps the state of the run, `panel`
draws this state, `summary` says the end. `command` reads the words of `./run`.
"""
