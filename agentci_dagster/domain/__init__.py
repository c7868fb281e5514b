"""The thinking: pure values and functions, without Dagster, files, processes or clocks."""
