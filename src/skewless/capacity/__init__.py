"""What machines, memory and money a load needs, from figures measured of the definitions."""
