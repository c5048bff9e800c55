"""What joins skewless to the tools a team already runs: one module for each tool.

A module imports its tool, so it is imported where the tool is used: ``from skewless.plugs import
mlflow``. docs/plugs.md lists them, with the versions each was tested with.
"""
