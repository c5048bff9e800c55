"""Benchmarks of skewless beside its peers, on the same data in the same run.

python -m benchmarks                         every benchmark, a tenth of the full size
python -m benchmarks join push --size full   two of them, full size
python -m benchmarks --table results.json    the markdown tables of an earlier run
"""
