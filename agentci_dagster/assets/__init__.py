"""The graph: one module per stage; an asset takes inputs, asks a port, decides in the domain,
tells.
"""
