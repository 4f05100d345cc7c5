"""`python -m topologies`: what `./lab` runs."""

import sys

from topologies.cli import main

if __name__ == "__main__":
    sys.exit(main())
