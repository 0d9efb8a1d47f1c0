"""``make bench ARGS=--growth``: curves instead of points. What a run costs as payloads, fields, rows, stored runs, connections, partners and processes grow."""
