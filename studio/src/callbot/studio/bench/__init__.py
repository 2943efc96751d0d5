"""Measurements, made by calls of the phone emulator."""
