"""The benchmark of Polyport: what it costs beside a bare forwarder, on the machine it runs on. ``python -m bench --help``."""
