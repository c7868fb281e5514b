"""What starts runs and keeps the truth: short, repeatable ticks with a cursor."""
