"""The report: delivery metrics and failure trends as one HTML file, without scripts or requests."""
