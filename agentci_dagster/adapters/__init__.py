"""The edge: one module per outside thing; an adapter decides nothing."""
