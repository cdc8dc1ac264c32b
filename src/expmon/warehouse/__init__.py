"""Where statements run: the protocol, and one module for each engine."""
