#!/usr/bin/env python3
"""Leaves with 0 where a service of this container answers 200: healthy PORT PATH; a variable PORT goes before."""

import os
import sys
import urllib.request

port, path = os.environ.get("PORT") or sys.argv[1], sys.argv[2]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    opener.open(f"http://127.0.0.1:{port}{path}", timeout=4).close()
except OSError as error:
    sys.exit(f"{path} of port {port}: {error}")
