"""The template of the docs says what the handler relies on."""

import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
PAGE = Path(__file__).parents[2] / "docs" / "aws.md"


def test_the_template_loses_no_record() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    function = yaml.safe_load(text)["Resources"]["Payments"]["Properties"]
    mapping = function["Events"]["Records"]["Properties"]
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert (mapping["MaximumRetryAttempts"], mapping["MaximumRecordAgeInSeconds"]) == (-1, -1)
    reports = function["Environment"]["Variables"]["SKEWLESS_REPORT"] == "1"
    assert reports == ("ReportBatchItemFailures" in mapping["FunctionResponseTypes"])
