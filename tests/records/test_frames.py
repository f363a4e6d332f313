"""Text as categories is the same text; a file is written so that thousands of them are read fast."""

import dataclasses

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal
from records_rows import case_rows, write_trial

from dgsweep.analysis.frames import as_categories
from dgsweep.records.atomic import RecordError
from dgsweep.records.columns import CASE_SCHEMA, parquet_bytes


def test_coded_scores_are_the_plain_ones_with_text_as_sorted_categories(ledger, plan, wider):
    write_trial(ledger, wider)  # one case more than the plan wants
    write_trial(ledger, plan.trials[1])
    renamed = dataclasses.replace(plan.trials[1], panel="transductive", trial=7)
    asked = dataclasses.replace(plan, trials=(plan.trials[0], renamed))
    plain, coded = ledger.cases_frame(asked), ledger.cases_frame(asked, coded=True)
    assert_frame_equal(coded, as_categories(plain))
    assert set(coded["trial"]) == {0, 7}
    assert list(coded["panel"].cat.categories) == ["main", "transductive"]
    assert "t3" not in set(coded["case_id"].cat.categories)


def test_coded_curves_are_the_plain_ones_with_text_as_sorted_categories(ledger, plan):
    for spec in plan.trials:
        write_trial(ledger, spec)
    plain, coded = ledger.curves_frame(plan), ledger.curves_frame(plan, coded=True)
    assert_frame_equal(coded, as_categories(plain))
    assert list(coded["trial_id"].cat.categories) == [spec.trial_id for spec in plan.trials]
    assert str(plain["trial_id"].dtype) == "str"


@pytest.mark.parametrize("coded", [False, True])
def test_a_done_trial_whose_scores_cannot_be_read_is_named(ledger, plan, coded):
    spec = plan.trials[0]
    write_trial(ledger, spec)
    ledger.paths(spec.trial_id).cases.write_bytes(b"PAR1")
    with pytest.raises(RecordError, match=spec.trial_id):
        ledger.cases_frame(plan, done={spec.trial_id}, coded=coded)


def test_curves_that_cannot_be_read_are_left_out_of_the_coded_ones(ledger, plan):
    for spec in plan.trials:
        write_trial(ledger, spec)
    ledger.paths(plan.trials[0].trial_id).curves.write_bytes(b"PAR1")
    found = ledger.curves_frame(plan, unfinished=True, coded=True)
    assert set(found["trial_id"]) == {plan.trials[1].trial_id}


def test_scores_that_were_written_with_zstandard_are_read_beside_new_ones(ledger, plan):
    first, second = plan.trials
    write_trial(ledger, first)
    write_trial(ledger, second)
    expected = ledger.cases_frame(plan)
    pq.write_table(
        pq.read_table(ledger.paths(first.trial_id).cases), ledger.paths(first.trial_id).cases, compression="zstd"
    )
    done = {first.trial_id, second.trial_id}
    assert_frame_equal(ledger.cases_frame(plan, done=done, coded=True), as_categories(expected))


def test_only_text_has_dictionaries_in_a_file_and_no_page_is_of_zstandard(spec, tmp_path):
    rows = pd.concat([case_rows(spec)] * 50)
    (tmp_path / "cases.parquet").write_bytes(
        parquet_bytes(pa.Table.from_pandas(rows, CASE_SCHEMA, preserve_index=False))
    )
    group = pq.ParquetFile(tmp_path / "cases.parquet").metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"SNAPPY"}
    assert columns["case_id"].has_dictionary_page
    assert not columns["dice"].has_dictionary_page
