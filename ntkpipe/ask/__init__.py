"""The command `ask`: is a user's own network lazy on the user's own table?

`wrap` finds the network in a file, `probe` measures it, `plan` chooses the experiment,
`study` writes it, and `answer` says in words what came out. `stages.ask` does these
steps one after the other.
"""
