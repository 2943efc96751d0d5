"""What every service shares, ignorant of bots and speech: bus, seats, lifecycle, settings, health, logs."""
