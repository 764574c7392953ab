"""`python -m ntkpipe.terminal WORDS …`: what `./run WORDS …` does once it is set up."""

import sys

from ntkpipe.terminal.command import main

sys.exit(main(sys.argv[1:]))
