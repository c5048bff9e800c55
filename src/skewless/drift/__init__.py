"""Profiles of features over time, whether they drift, whether models decay."""
