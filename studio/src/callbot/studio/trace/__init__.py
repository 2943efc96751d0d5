"""`callbot trace`: one turn's trace, taken from a real call and drawn."""
