"""Why a value is what it is: the rows behind it, and which counted."""
