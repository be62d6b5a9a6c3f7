"""`python -m rnj_lsp` is `rnj-lsp`."""

import sys

from rnj_lsp.cli import main

sys.exit(main())
