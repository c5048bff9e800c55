"""Exit with 0 if the server of this container is ready, with TLS or without: a health check.

It asks the server beside it, whose certificate is for the name that others call it by, so that the
certificate is not checked; a stranger on the loopback of the container would have to be in it.
"""

import http.client
import ssl
import sys
import urllib.request

SECONDS = 2.0


def ready(address: str) -> bool:
    """Return whether ``/ready`` of ``host:port`` answers 200."""
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    for scheme in ("http", "https"):
        try:
            url = f"{scheme}://{address}/ready"
            with urllib.request.urlopen(url, timeout=SECONDS, context=unchecked) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            continue
    return False


if __name__ == "__main__":
    sys.exit(not ready(sys.argv[1] if sys.argv[1:] else "127.0.0.1:6566"))
