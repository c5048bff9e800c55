"""Evaluating expressions of rows, of features and on demand: by row and by column."""
