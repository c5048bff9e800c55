"""The catalogue in a browser: pages that are made on the server and work without scripts."""
