"""The resources that jobs request: cores, memory, time, a GPU."""

from ntkpipe import cost

MANY_THREADS = 8  # Snakemake reduces this to --cores
FEW_POINTS = 16
LONG = 10**13  # operations that take one core several minutes
SMALL_KERNEL = 1000
CORE = 5 * 10**9 * 60  # operations of one slow core in a minute
EIGH = 2 * 10**9 * 60  # the same for eigendecompositions


def memory(stage, at_least):
    """MB of memory; more at each attempt, because a job may run out of memory."""

    def mem_mb(wildcards, attempt):
        arrays = STAGES[stage].memory_mb(place(wildcards))
        return attempt * (at_least + arrays)

    return mem_mb


def minutes(stage, at_least=10, each=EIGH):
    """Minutes for all operations, with `each` operations per minute.

    Each further attempt gets more, because a job may run out of time.
    """

    def runtime(wildcards, attempt):
        return attempt * (at_least + STAGES[stage].flop(place(wildcards)) // each)

    return runtime


def is_narrow(wildcards):
    at = place(wildcards)
    return cost.is_narrow(at.experiment, at.width)


def train_threads(wildcards):
    """One core, or up to `MANY_THREADS` for a training that takes minutes.

    A job starts and compiles on one core, and a job that requests more cores waits until
    they are free. Matrix products of few points or of narrow networks are limited by
    memory bandwidth, so a second core does not speed them up.
    """
    at = place(wildcards)
    long = cost.train_flop(at.experiment, at.width) > LONG
    wide = not is_narrow(wildcards) and cost.points(at.experiment) >= FEW_POINTS
    return MANY_THREADS if long and wide else 1


def train_gpu(wildcards):
    """A GPU for wide networks; a CPU finishes narrow ones before a GPU is ready."""
    return 0 if is_narrow(wildcards) else 1


def kernel_gpu(wildcards):
    """A GPU for the eigenvectors of large kernels."""
    return 0 if cost.kernel_rows(place(wildcards).experiment) <= SMALL_KERNEL else 1
