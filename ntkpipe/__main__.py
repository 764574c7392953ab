"""`python -m ntkpipe`: the command line, see `ntkpipe.cli`."""

import sys

from ntkpipe.cli import main

if __name__ == "__main__":
    sys.exit(main())
