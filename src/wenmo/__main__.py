"""``python -m wenmo`` is the command ``wenmo``."""

import sys

from wenmo.cli import main

if __name__ == "__main__":
    sys.exit(main())
