"""``python -m mio_cli`` is ``mio``."""

from mio_cli.cli.app import main

main()
