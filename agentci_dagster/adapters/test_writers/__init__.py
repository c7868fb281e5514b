"""Writers of test candidates, one module per way of writing them."""
