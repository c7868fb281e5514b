"""The demo: a sample service, its scripted commits and its traffic. Who plays it: `cli/`."""
