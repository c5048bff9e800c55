"""Quality: the checks of a repo carried out, recorded, and how often they held."""
