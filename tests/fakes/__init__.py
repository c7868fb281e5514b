"""In-memory answers to the ports, one module per group of ports."""
