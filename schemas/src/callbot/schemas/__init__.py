"""Every message and every subject of CallBot Studio, once."""
