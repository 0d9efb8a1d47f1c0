"""``make bench-peers``: what someone would pick instead of Polyport, at the same work on the same machine."""
