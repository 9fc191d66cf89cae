"""`python -m edgevision` and the `edgevision` command."""

import sys

from edgevision.cli import main

if __name__ == "__main__":
    sys.exit(main())
