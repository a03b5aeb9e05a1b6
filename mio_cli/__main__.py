"""The command ``mio``, which is also ``python -m mio_cli``. From its first line on it hears Ctrl-C."""

import os
import signal
import sys
import threading
from types import FrameType

INTERRUPTED = 130


def main() -> None:
    """Run ``mio``. Ctrl-C ends it with an exit code of its own, never with a traceback; twice, at once."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # unless Ctrl-C is to be ignored
        signal.signal(signal.SIGINT, _interrupt)
    # The polite kill is answered like Ctrl-C: files being written are finished, temporary ones removed.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from mio_cli.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but end at once what still imports: packages report it in words of their own
    or swallow it, and without other threads there is nothing to tidy up. Whoever presses it again does not
    want to wait until all is tidy."""
    for each in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(each) is _interrupt:
            signal.signal(each, _end)
    while frame is not None and threading.active_count() == 1:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            _end(number, frame)
        frame = frame.f_back
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
