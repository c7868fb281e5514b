"""The search for calls that become tests.

It is copied into the sandbox and runs there, in the commit's own environment, so it imports nothing
of ours.
"""
