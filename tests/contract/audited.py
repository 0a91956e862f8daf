"""`prism serve` that reports every file that it opens and every connection that it makes, once it is ready."""

from __future__ import annotations

import logging
import sys

from weaviate_prism.cli import main

WATCHED = {"open", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.listdir", "os.scandir"}


class Watch(logging.Filter):
    """Begins at the log line `ready`."""

    begun = False

    def filter(self, record: logging.LogRecord) -> bool:
        self.begun = self.begun or record.getMessage() == "ready"
        return True

    def audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.begun and event in WATCHED:
            sys.stderr.write(f"AUDIT {event} {arguments!r}\n")


if __name__ == "__main__":
    watch = Watch()
    sys.addaudithook(watch.audit)
    logging.getLogger("weaviate_prism.server.app").addFilter(watch)
    sys.exit(main())
