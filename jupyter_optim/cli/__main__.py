"""``python -m jupyter_optim.cli``, where the script is not on the path."""

import sys

from jupyter_optim.cli.command import main

sys.exit(main())
