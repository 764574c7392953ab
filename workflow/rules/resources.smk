"""What a job asks for: cores, memory, time, a GPU."""

from ntkpipe import cost

MANY_THREADS = 8  # Snakemake takes fewer where --cores says so
FEW_POINTS = 16
LONG = 10**13  # operations of several minutes, of one core
SMALL_KERNEL = 1000
CORE = 5 * 10**9 * 60  # operations in a minute, of one slow core; of eigh fewer
EIGH = 2 * 10**9 * 60


def memory(stage, at_least):
    """MB of memory: more each time a job failed, as it may have run out of memory."""

    def mem_mb(wildcards, attempt):
        arrays = STAGES[stage].memory_mb(place(wildcards))
        return attempt * (at_least + arrays)

    return mem_mb


def minutes(stage, at_least=10, each=EIGH):
    """Minutes of `each` operations: more each time a job failed, out of time."""

    def runtime(wildcards, attempt):
        return attempt * (at_least + STAGES[stage].flop(place(wildcards)) // each)

    return runtime


def is_narrow(wildcards):
    at = place(wildcards)
    return cost.is_narrow(at.experiment, at.width)


def train_threads(wildcards):
    """One core, and all that --cores allows for a training of minutes.

    A job starts and compiles on one core, and one that asks for more waits until they
    are free. The products of few points, or of narrow networks, wait for memory: there
    a second core made the training itself no faster.
    """
    at = place(wildcards)
    long = cost.train_flop(at.experiment, at.width) > LONG
    wide = not is_narrow(wildcards) and cost.points(at.experiment) >= FEW_POINTS
    return MANY_THREADS if long and wide else 1


def train_gpu(wildcards):
    """A GPU for wide networks: a CPU is through with toys before a GPU is ready."""
    return 0 if is_narrow(wildcards) else 1


def kernel_gpu(wildcards):
    """A GPU for the eigenvectors of large kernels."""
    return 0 if cost.kernel_rows(place(wildcards).experiment) <= SMALL_KERNEL else 1
